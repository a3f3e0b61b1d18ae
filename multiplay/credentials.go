package multiplay

import "github.com/imagejobs/imagejobs-go/internal/redact"

// Secret is a credential in a [Source]. Create it with [NewSecret]; the zero
// Secret is none. Nothing that formats or encodes it, or a value that it stands
// in, shows what it holds: it reads REDACTED.
type Secret struct{ hidden }

// hidden has the methods that formatters and encoders look for.
type hidden = redact.Secret

// NewSecret returns a Secret that holds value as it is, not percent-encoded.
func NewSecret(value string) Secret { return Secret{redact.NewSecret(value)} }
