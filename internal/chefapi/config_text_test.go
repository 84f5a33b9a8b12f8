package chefapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestAConfigDoesNotShowItsKey(t *testing.T) {
	t.Parallel()
	c := Config{ServerURL: "https://chef", ClientName: "me", Key: []byte("MIIEvgIBADAN")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		fmt.Fprintf(&out, verb, c)
	}
	b, err := json.Marshal(map[string]any{"c": c})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "c", c)
	for _, form := range []string{"MIIEvgIB", "4d494945", "77 73 73 69", "TUlJRXZn"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the key is shown: %s", out.String())
		}
	}
	if !strings.Contains(out.String(), "me at https://chef") {
		t.Errorf("it does not say who signs: %s", out.String())
	}
}
