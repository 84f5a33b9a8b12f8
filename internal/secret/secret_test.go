package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const value = "-----BEGIN KEY-----\nMIIEvgIBADANBgkqhkiG9w0B\n-----END KEY-----\n"

func TestASecretIsNeverShown(t *testing.T) {
	t.Parallel()
	s := New([]byte(value))
	holder := struct {
		Exported Bytes
		hidden   Bytes
		Map      map[string]Bytes
		Pointer  *Bytes
	}{s, s, map[string]Bytes{"k": s}, &s}
	var out bytes.Buffer
	for _, v := range []any{s, &s, holder, &holder, []Bytes{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	fmt.Fprintf(&out, "%v", errors.Join(fmt.Errorf("using %v: %w", s, errors.New("x"))))
	for _, form := range []string{"MIIEvgIB", fmt.Sprintf("%x", "MIIEvgIB"), fmt.Sprintf("%X", "MIIEvgIB"), strings.Trim(fmt.Sprint([]byte("MIIEvgIB")), "[]"), "TUlJRXZnSU"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("it is shown as %s in:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), shown) {
		t.Error("nothing stands in for it")
	}
}

func TestASecretIsThereForWhoAsks(t *testing.T) {
	t.Parallel()
	s := New([]byte(value))
	if string(s.Reveal()) != value || s.Empty() || !(Bytes{}).Empty() || (Bytes{}).Reveal() != nil {
		t.Error("it does not come back")
	}
	if !s.In([]byte("log: MIIEvgIBADANBgkqhkiG9w0B\\n")) || s.In([]byte("-----BEGIN KEY-----")) || (Bytes{}).In([]byte("x")) {
		t.Error("it is not found where it is, or is found where it is not")
	}
}
