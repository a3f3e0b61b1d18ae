package multiplaytest

// Dialect chooses a form or behavior where the documents contradict each other
// or say too little. The zero value is the default.
type Dialect struct {
	// OmitStateID leaves out jobstateid, which is documented as optional.
	OmitStateID bool
	// NumericJobStart sends jobstart as a number, like the other times. By
	// default it is a string, as documented.
	NumericJobStart bool
	// Complete spells state 5 "Complete", as one page does. By default it is
	// "Completed", as observed.
	Complete bool
	// EmptyArrays sends [] for a map without entries, as some backends do.
	EmptyArrays bool
	// StartInstalls starts the installs of a version that has no install_at, as
	// observed. By default they wait to be queued, as documented.
	StartInstalls bool
	// Errors is how the server reports failures.
	Errors ErrorStyle
}

// ErrorStyle is how the server reports failures. The body is always the same.
type ErrorStyle int

// The ways to report failures.
const (
	// ErrorsMixed uses an error status for bad requests, and 200 for what the
	// present state forbids.
	ErrorsMixed ErrorStyle = iota
	// ErrorsIn200 uses status 200 for everything.
	ErrorsIn200
	// ErrorsByStatus uses an error status for everything: 400 for what the
	// present state forbids.
	ErrorsByStatus
)

// WithDialect sets the server's dialect.
func WithDialect(dialect Dialect) Option {
	return func(c *config) { c.dialect = dialect }
}
