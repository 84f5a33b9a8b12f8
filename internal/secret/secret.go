// Package secret holds values that must not be shown: whatever prints, logs or
// marshals one gets a stand-in for it.
package secret

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
)

// shown stands for a value wherever one is printed.
const shown = "[secret]"

// Bytes is a secret such as a private key. It lies behind a function, because
// fmt prints the fields of a struct that are not exported without asking their
// methods, and the address of a function tells nothing.
type Bytes struct{ get func() []byte }

// New hides b.
func New(b []byte) Bytes { return Bytes{func() []byte { return b }} }

// Reveal returns the value, for the call that needs it. It is nil when there
// is none.
func (s Bytes) Reveal() []byte {
	if s.get == nil {
		return nil
	}
	return s.get()
}

// Empty says that there is no value.
func (s Bytes) Empty() bool { return len(s.Reveal()) == 0 }

// Format prints the stand-in for every verb (fmt.Formatter).
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shown) }

// MarshalText gives encoders the stand-in (encoding.TextMarshaler).
func (s Bytes) MarshalText() ([]byte, error) { return []byte(shown), nil }

// LogValue gives loggers the stand-in (slog.LogValuer).
func (s Bytes) LogValue() slog.Value { return slog.StringValue(shown) }

// In says whether text holds the value, whole or any of its lines of 16
// characters and more: a key's PEM may be broken up on its way into a log.
func (s Bytes) In(text []byte) bool {
	for _, line := range bytes.Split(s.Reveal(), []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) >= 16 && !bytes.HasPrefix(line, []byte("-----")) && bytes.Contains(text, line) {
			return true
		}
	}
	return false
}
