package redact

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret holds a string that no formatting, encoding or debugger shows unasked:
// it reads [Redacted], or nothing if it is empty. The zero Secret is empty.
//
// A Secret cannot be read back from what it was encoded to, and encoding/gob
// refuses it.
type Secret struct {
	// A func, because fmt and others call no methods on unexported fields of the
	// structs that a Secret stands in, and follow pointers.
	reveal func() string
}

// NewSecret returns a Secret that holds value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{func() string { return value }}
}

// Reveal returns the value.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether s is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Equal reports whether s and other hold the same value.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String implements [fmt.Stringer].
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return Redacted
}

// Format implements [fmt.Formatter]: every verb prints String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler], which JSON and XML use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
