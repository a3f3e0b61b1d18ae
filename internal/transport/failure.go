package transport

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/redact"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// maxShownBody is how much of a body an Error keeps.
const maxShownBody = 8 << 10

// requestIDHeaders are the names under which services and gateways send an id
// of the request.
var requestIDHeaders = []string{
	"X-Request-Id", "Opc-Request-Id", "X-Openstack-Request-Id", "Ecl-Transaction-Id",
	"X-Compute-Request-Id", "X-Correlation-Id", "X-Amzn-Requestid",
}

// failure returns the error of a call that failed, from its last attempt, and
// the message in its response as it came. All that the error shows of the
// response or of a foreign error is searched for secrets first.
func (x *callState) failure(config *Config) (e *Error, said string) {
	r, secrets := &x.response, x.secrets()
	body := secrets.Body(r.Body, len(r.Body) >= maxErrorBody)
	e = &Error{
		Op:         config.Package + "." + x.Operation,
		Method:     x.Method,
		URL:        publicURL(&x.url, config.PublicQuery),
		StatusCode: r.StatusCode,
		RequestID:  x.requestID(),
		Attempts:   x.attempts - x.Call.Attempts,
		RetryAfter: r.RetryAfter(),
		Ambiguous:  x.ambiguous(),
	}
	refusal, refused := errors.AsType[*RefusalError](x.last.err)
	switch {
	case refused:
		said = refusal.Message
		e.Code, e.Message = redact.Line(secrets.Text(refusal.Code)), redact.Line(secrets.Text(refusal.Message))
	case r.StatusCode >= 300 && r.StatusCode < 400:
		e.Message = "redirects are not followed"
		if to := redirectTarget(&x.url, r.Header); to != "" {
			e.Message = "redirects to " + secrets.Text(to) + ", which is not followed"
		}
	case r.StatusCode != 0 && !r.ok():
		e.Code, e.Message, said = errorText(r, body, secrets)
		if proxy := r.proxy(); proxy != "" {
			e.Message = strings.TrimSpace(e.Message + " (from " + secrets.Text(proxy) + ")")
		}
	}
	if !errors.Is(x.last.err, errStatus) && !refused {
		e.Err = shown(x.last.err, secrets)
	}
	switch {
	case x.ended != nil && e.Err != nil:
		e.Err = fmt.Errorf("%w, after: %w", x.ended, e.Err)
	case x.ended != nil:
		e.Err = x.ended
	}
	if !x.Secret || r.StatusCode >= 300 {
		e.Body = body[:min(len(body), maxShownBody)]
	}
	if e.Hint = x.hint; e.Hint == "" {
		e.Hint = e.nextStep()
	}
	return e, said
}

// secrets returns what no text about this call may show.
func (x *callState) secrets() *redact.Set {
	return redact.New(slices.Concat(x.last.grant.Secrets(), x.Secrets)...)
}

// proxy names what refused in place of the service, as far as the headers show
// it: a proxy that the request was sent to, or one in front of the service. A
// body of JSON is the service's own, whichever proxy forwarded it.
func (r *Response) proxy() string {
	server, via := redact.Line(r.Header.Get("Server")), redact.Line(r.Header.Get("Via"))
	if strings.HasPrefix(strings.TrimSpace(string(r.Body)), "{") {
		return ""
	}
	if r.StatusCode == http.StatusProxyAuthRequired {
		return strings.TrimSpace("the forward proxy " + cmp.Or(server, via))
	}
	for _, name := range []string{"nginx", "haproxy", "squid", "envoy", "varnish", "cloudflare", "akamai", "awselb", "traefik", "tinyproxy"} {
		if strings.Contains(strings.ToLower(server), name) {
			return server + ", a proxy in front of the service"
		}
	}
	if via != "" {
		return via + ", a proxy in front of the service"
	}
	return ""
}

// shown returns err as it is, unless it would repeat a secret.
func shown(err error, secrets *redact.Set) error {
	if bad, ok := errors.AsType[*malformedError](err); ok && secrets.Contains(string(bad.response.Body)) {
		return errors.New(bad.text(false))
	}
	safe := secrets.Err(err)
	if safe != err && isTransient(err) { //nolint:errorlint // is it the same?
		return &transientError{safe}
	}
	return safe
}

func (x *callState) requestID() string {
	for _, name := range requestIDHeaders {
		if id := x.response.Header.Get(name); id != "" {
			return redact.Line(x.secrets().Text(id))
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

// publicURL returns u without user info and with those query values alone that
// the service's allow-list names.
func publicURL(u *url.URL, allowed []string) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	shown.RawQuery = publicQuery(u, allowed)
	return shown.String()
}

func publicQuery(u *url.URL, allowed []string) string {
	if u.RawQuery == "" || len(allowed) == 0 {
		return ""
	}
	have, kept := u.Query(), url.Values{}
	for _, name := range allowed {
		if v, ok := have[name]; ok {
			kept[name] = v
		}
	}
	return kept.Encode()
}

// nextStep returns what to do about a failed call.
func (e *Error) nextStep() string {
	op, _ := errors.AsType[*net.OpError](e.Err)
	_, noCredentials := errors.AsType[*localError](e.Err)
	_, refusedByProxy := errors.AsType[*wire.ProxyError](e.Err)
	refusedByPeer := op != nil && refusedByTLS(op)
	switch {
	case noCredentials:
		return "" // the error of the call for them has its own
	case refusedByProxy, e.StatusCode == http.StatusProxyAuthRequired:
		return "check the proxy, its user and its password"
	case refusedByPeer:
		return "check the client certificate and the TLS settings"
	case e.Ambiguous:
		return "the call may have taken effect: check before repeating it"
	case op != nil && op.Op == "dial":
		return "check the address and the network"
	case e.RetryAfter > maxRetryAfter:
		return fmt.Sprintf("the service asks to wait %s: try again then", e.RetryAfter)
	case e.StatusCode == http.StatusUnauthorized:
		return "check the credentials"
	case e.StatusCode == http.StatusForbidden:
		return "check what these credentials may do"
	case transientStatus(e.StatusCode), e.StatusCode >= 500:
		return "try again later"
	default:
		return ""
	}
}

// errorText derives a code and a message from an error response, and the message
// as it came. body is what may be shown of its body. Services and the proxies in
// front of them send JSON of several shapes, text, HTML and XML; none of them is
// an error here, the worst case is no message.
func errorText(r *Response, body string, secrets *redact.Set) (code, message, said string) {
	said = strings.TrimSpace(strings.TrimPrefix(string(r.Body), "\ufeff"))
	if strings.HasPrefix(said, "{") {
		var object map[string]any
		if json.Unmarshal([]byte(said), &object) == nil {
			code, said = fromObject(object, 0)
			return readable(secrets.Text(code)), readable(secrets.Text(said)), said
		}
	}
	text := strings.TrimSpace(strings.TrimPrefix(body, "\ufeff"))
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if strings.HasPrefix(text, "<") || strings.HasSuffix(media, "html") || strings.HasSuffix(media, "xml") {
		text = redact.PageText(text)
	}
	return "", redact.Line(text), said
}

// readable returns a text of a response as a message has it.
func readable(text string) string {
	return redact.Line(redact.PageText(text))
}

// Names under which services put message and code, the most specific first.
var (
	messageNames = []string{"message", "error_message", "errorMessage", "faultstring", "detail", "error_description", "title"}
	codeNames    = []string{"code", "error_code", "errorCode", "errorcode"}
	nestedNames  = []string{"error", "fault", "detail"}
)

func fromObject(object map[string]any, depth int) (code, message string) {
	const deepest = 4
	if depth > deepest {
		return "", ""
	}
	for _, name := range nestedNames {
		if inner, ok := object[name].(map[string]any); ok {
			c, m := fromObject(inner, depth+1)
			code, message = first(code, c), first(message, m)
		}
	}
	for _, name := range messageNames {
		message = first(message, scalar(object[name]))
	}
	for _, name := range codeNames {
		code = first(code, scalar(object[name]))
	}
	if text, ok := object["error"].(string); ok {
		if message == "" {
			message = text
		} else {
			code = first(code, text) // OAuth: error_description is the message
		}
	}
	if message == "" && len(object) == 1 {
		for _, only := range object {
			if inner, ok := only.(map[string]any); ok {
				return fromObject(inner, depth+1)
			}
		}
	}
	return code, message
}

func first(have, other string) string {
	if have != "" {
		return have
	}
	return other
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		if readable(v) == "" {
			return ""
		}
		return strings.TrimSpace(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return ""
	}
}
