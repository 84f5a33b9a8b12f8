package chefapi

import (
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestOpenSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none.pem")
	for _, c := range []struct {
		url, name, key, says, next string
	}{
		{"", "me", none, "are needed", "--chef-server"},
		{"https://chef", "", none, "are needed", "chef.client_name"},
		{"https://chef", "me", "", "are needed", "--chef-key"},
		{"https://chef", "me", none, "reading the Chef client's key: ", "--chef-key"},
	} {
		_, err := Open(Config{ServerURL: c.url, ClientName: c.name}, c.key)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.NextOf(err), c.next) {
			t.Errorf("%+v: %v, next %q", c, err, fault.NextOf(err))
		}
	}
}
