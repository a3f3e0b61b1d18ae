package multiplaytest

import (
	"net/http"
	"net/url"
	"strconv"
)

// request reads the parameters of an operation. bad is the first that is wrong.
type request struct {
	*http.Request
	query url.Values
	bad   *refusal
}

func (r *request) fail(format string, args ...any) {
	if r.bad == nil {
		r.bad = badRequest(format, args...)
	}
}

// text returns a required parameter.
func (r *request) text(name string) string {
	value := r.query.Get(name)
	if value == "" {
		r.fail("%s is required", name)
	}
	return value
}

// number returns a required number.
func (r *request) number(name string) int64 {
	if r.text(name) == "" {
		return 0
	}
	return r.optional(name)
}

// optional returns a number, 0 if not given.
func (r *request) optional(name string) int64 {
	value := r.query.Get(name)
	if value == "" {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 {
		r.fail("%s must be a positive number", name)
	}
	return n
}

// flag returns a parameter of 0 or 1, false if not given.
func (r *request) flag(name string) bool { return r.choice(name, "0", "1") }

// word returns a parameter of false or true, false if not given.
func (r *request) word(name string) bool { return r.choice(name, "false", "true") }

func (r *request) choice(name, no, yes string) bool {
	switch r.query.Get(name) {
	case yes:
		return true
	case no, "":
		return false
	default:
		r.fail("%s must be %s or %s", name, no, yes)
		return false
	}
}

// id returns the id in the path or, as observed of clients, in the query.
func (r *request) id(name string) int64 {
	in := r.PathValue("id")
	if in == "" {
		return r.number(name)
	}
	n, err := strconv.ParseInt(in, 10, 64)
	if err != nil || n <= 0 {
		r.fail("%s must be a positive number", name)
	}
	return n
}
