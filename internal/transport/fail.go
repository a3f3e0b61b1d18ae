package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/auth"
)

// requestIDHeaders are the names under which services and gateways send an id
// of the request.
var requestIDHeaders = []string{
	"X-Request-Id", "Opc-Request-Id", "X-Openstack-Request-Id", "Ecl-Transaction-Id",
	"X-Compute-Request-Id", "X-Correlation-Id", "X-Amzn-Requestid",
}

// fail makes the error of a call out of its newest try.
func (c *Client) fail(x *exchange, target *url.URL) error {
	t := &x.last
	e := &Error{
		Operation:  c.config.Package + "." + x.call.Operation,
		Method:     x.call.Method,
		URL:        c.publicURL(target),
		StatusCode: t.status,
		RequestID:  requestID(t.header),
		Attempts:   x.tries,
		Ambiguous:  x.ambiguous(),
	}
	e.RetryAfter, _ = t.retryAfter()
	refusal, refused := errors.AsType[*Refusal](t.err)
	switch {
	case refused:
		e.Code, e.Message = x.redact(refusal.Code), x.redact(refusal.Message)
	case t.status >= 300 && t.status < 400:
		e.Message = "redirects are not followed"
		if to := redirectTarget(target, t.header); to != "" {
			e.Message = "redirects to " + to + ", which is not followed"
		}
	case t.status < 200 || t.status >= 400:
		code, message := ErrorText(t.header.Get("Content-Type"), t.body)
		e.Code, e.Message = x.redact(code), x.redact(message)
	}
	if t.err != nil && !errors.Is(t.err, errStatus) && !refused {
		e.Err = x.clean(t.err)
	}
	switch {
	case x.ended != nil && e.Err != nil:
		e.Err = fmt.Errorf("%w, after: %w", x.ended, e.Err)
	case x.ended != nil:
		e.Err = x.ended
	}
	if !x.call.Secret || t.status >= 300 {
		e.Body = x.redact(string(t.body[:min(len(t.body), maxErrorBody)]))
	}
	e.Hint = e.hint()
	if x.stop != "" {
		e.Hint = x.stop
	}
	return c.config.WrapError(e)
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

// redact replaces the secrets of the call, in case a service or a library
// repeats them.
func (x *exchange) redact(text string) string {
	const shortest = 4 // below it, replacing would only spoil the text
	for _, list := range [][]string{x.last.secrets, x.call.Secrets} {
		for _, secret := range list {
			if len(secret) < shortest {
				continue
			}
			text = strings.ReplaceAll(text, secret, auth.Redacted)
			if escaped := url.QueryEscape(secret); escaped != secret {
				text = strings.ReplaceAll(text, escaped, auth.Redacted)
			}
		}
	}
	return text
}

// clean keeps err as it is unless its text shows a secret.
func (x *exchange) clean(err error) error {
	text := err.Error()
	redacted := x.redact(text)
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
