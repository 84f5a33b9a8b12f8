package chefapi

import (
	"fmt"
	"io"
	"log/slog"
)

// Format prints who signs where, and never the key (fmt.Formatter).
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.text()) }

// LogValue gives loggers the same (slog.LogValuer).
func (c Config) LogValue() slog.Value { return slog.StringValue(c.text()) }

// MarshalText gives encoders the same (encoding.TextMarshaler).
func (c Config) MarshalText() ([]byte, error) { return []byte(c.text()), nil }

func (c Config) text() string { return c.ClientName + " at " + c.ServerURL + " with [secret]" }
