package multiplaytest

import (
	"net/http"
	"net/url"
	"strconv"
)

// request reads the parameters of an operation. The first that is wrong stays in bad.
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

// text is a required parameter.
func (r *request) text(name string) string {
	value := r.query.Get(name)
	if value == "" {
		r.fail("%s is required", name)
	}
	return value
}

// number is a required parameter.
func (r *request) number(name string) int64 {
	if r.text(name) == "" {
		return 0
	}
	return r.optional(name)
}

// optional is a number, 0 if not given.
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

// flag is 0 or 1, false if not given.
func (r *request) flag(name string) bool { return r.choice(name, "0", "1") }

// word is false or true, false if not given.
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

// id is the one in the path or, as programs have been seen to send it, in the query.
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
