package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// requestIDHeaders are the names under which services and gateways send an id
// of the request.
var requestIDHeaders = []string{
	"X-Request-Id", "Opc-Request-Id", "X-Openstack-Request-Id", "Ecl-Transaction-Id",
	"X-Compute-Request-Id", "X-Correlation-Id", "X-Amzn-Requestid",
}

// fail makes the error of a call out of its newest try.
func (c *Client) fail(x *exchange) error {
	t, redact := &x.last, x.redactor()
	body := cleanStart(t.body, redact)
	e := &Error{
		Operation:  c.config.Package + "." + x.call.Operation,
		Method:     x.call.Method,
		URL:        c.publicURL(&x.url),
		StatusCode: t.status,
		RequestID:  tidy(redact(requestID(t.header))),
		Attempts:   x.tries,
		Ambiguous:  x.ambiguous(),
	}
	e.RetryAfter, _ = t.retryAfter()
	refusal, refused := errors.AsType[*RefusalError](t.err)
	switch {
	case refused:
		e.Code, e.Message = tidy(redact(refusal.Code)), tidy(redact(refusal.Message))
	case t.status >= 300 && t.status < 400:
		e.Message = "redirects are not followed"
		if to := redirectTarget(&x.url, t.header); to != "" {
			e.Message = "redirects to " + redact(to) + ", which is not followed"
		}
	case t.status < 200 || t.status >= 400:
		code, message := ErrorText(t.header.Get("Content-Type"), []byte(body))
		e.Code, e.Message = redact(code), redact(message)
	}
	if t.err != nil && !errors.Is(t.err, errStatus) && !refused {
		e.Err = clean(t.err, redact)
	}
	switch {
	case x.ended != nil && e.Err != nil:
		e.Err = fmt.Errorf("%w, after: %w", x.ended, e.Err)
	case x.ended != nil:
		e.Err = x.ended
	}
	if !x.call.Secret || t.status >= 300 {
		e.Body = body[:min(len(body), maxErrorBody)]
	}
	e.Hint = e.hint()
	if x.stop != "" {
		e.Hint = x.stop
	}
	return c.config.WrapError(e)
}

// cleanStart is the start of a body, without secrets. One whose end is cut off
// is not found, so what comes after the last that was is left out: without an
// earlier one, the cut is farther away than any text that is shown.
func cleanStart(body []byte, redact func(string) string) string {
	text := redact(string(body[:min(len(body), maxErrorAnswer)]))
	if len(body) < maxErrorAnswer {
		return text
	}
	if i := strings.LastIndex(text, auth.Redacted); i >= 0 {
		text = text[:i+len(auth.Redacted)]
	}
	return text
}

func requestID(h http.Header) string {
	for _, name := range requestIDHeaders {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// redirectTarget names where a 3xx points, without what may be secret in it.
func redirectTarget(from *url.URL, h http.Header) string {
	location := h.Get("Location")
	if location == "" {
		return ""
	}
	to, err := from.Parse(location)
	if err != nil {
		return "an address that is not a URL"
	}
	return (&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String()
}

// redactor replaces the secrets of the call, in case a service or a library
// repeats them.
func (x *exchange) redactor() func(text string) string {
	const shortest = 4 // below it, replacing would only spoil the text
	secrets := slices.Concat(x.last.grant.Secrets(), x.call.Secrets)
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < shortest })
	if len(secrets) == 0 {
		return func(text string) string { return text }
	}
	// The longest first: one may be part of another.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var found *regexp.Regexp // made when it is needed, which takes a while
	return func(text string) string {
		if !slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, unescaped(s)) }) {
			return text
		}
		if found == nil {
			found = spelt(secrets)
		}
		return found.ReplaceAllLiteralString(text, auth.Redacted)
	}
}

// unescaped is the longest part of secret that every spelling has as it is.
func unescaped(secret string) string {
	var longest string
	for part := range strings.FieldsFuncSeq(secret, func(r rune) bool { return !neverEscaped(r) }) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// neverEscaped tells whether r looks the same in all encodings.
func neverEscaped(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// spelt finds each spelling of the secrets.
func spelt(secrets []string) *regexp.Regexp {
	var pattern strings.Builder
	for i, secret := range secrets {
		if i > 0 {
			pattern.WriteByte('|')
		}
		for _, r := range secret {
			pattern.WriteString(spellings(r))
		}
	}
	return regexp.MustCompile(pattern.String())
}

// spellings is the pattern of r as it is, in a URL, in JSON or a quoted string,
// and in HTML or XML, each more than once over and one within the other: a page
// may show the JSON that it was sent.
func spellings(r rune) string {
	plain := regexp.QuoteMeta(string(r))
	if neverEscaped(r) {
		return plain
	}
	const (
		backslash = `(?i:\\|%(?:25)*5c|&#(?:0*92|x0*5c);)`
		ampersand = `(?:&(?:amp;)*|` + backslash + `+u0026|%(?:25)*26)`
		semicolon = `(?:;|%(?:25)*3b)`
	)
	var percent, utf16Escape strings.Builder
	for _, b := range []byte(string(r)) {
		fmt.Fprintf(&percent, "%%(?:25)*%02x", b)
	}
	for _, unit := range utf16.Encode([]rune{r}) {
		utf16Escape.WriteString(backslash + fmt.Sprintf("+u%04x", unit))
	}
	entity := fmt.Sprintf(`(?:#|%%(?:25)*23)(?:0*%d|x0*%x)|[a-z]+`, r, r) // by any name
	other := percent.String() + "|" + ampersand + `(?:` + entity + `)` + semicolon
	if r == ' ' {
		other += `|\+`
	}
	return `(?:` + backslash + `*(?:` + plain + `|(?i:` + other + `))|(?i:` + utf16Escape.String() + `))`
}

// clean keeps err as it is unless its text shows a secret.
func clean(err error, redact func(string) string) error {
	text := err.Error()
	redacted := redact(text)
	if redacted == text {
		return err
	}
	// Only the text can be cleaned, so the chain ends here, but for the two
	// errors that callers steer by.
	for _, keep := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, keep) {
			return &redactedError{text: redacted, is: keep}
		}
	}
	return &redactedError{text: redacted}
}

type redactedError struct {
	text string
	is   error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.is }
