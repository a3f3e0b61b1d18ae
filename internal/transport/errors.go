package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/wire"
)

// Sentinel errors of what Do returns, for use with errors.Is. The client
// packages re-export them.
var (
	ErrBadRequest       = errors.New("bad request")
	ErrUnauthorized     = errors.New("unauthorized")
	ErrForbidden        = errors.New("forbidden")
	ErrNotFound         = errors.New("not found")
	ErrConflict         = errors.New("conflict")
	ErrTooManyRequests  = errors.New("too many requests")
	ErrServer           = errors.New("server error")
	ErrAmbiguous        = errors.New("the service may have carried out the request")
	ErrTransient        = errors.New("transient failure")
	ErrResponseTooLarge = errors.New("the response is larger than the limit")
	ErrInvalidArgument  = errors.New("invalid argument")
)

// ErrRefused matches a refusal that the service put into a 2xx response.
var ErrRefused = errors.New("refused")

// Error reports a call that failed after it was found valid. The client
// packages have types with the same fields, so that *Error converts to theirs.
type Error struct {
	Op         string
	Method     string
	URL        string
	StatusCode int
	Code       string
	Message    string
	RequestID  string
	Attempts   int
	RetryAfter time.Duration
	Ambiguous  bool
	Hint       string
	Body       string
	Err        error
}

// Error returns operation, target, status, message, attempts and what to do
// next.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Method != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.URL)
	}
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, ": %d", e.StatusCode)
		if text := http.StatusText(e.StatusCode); text != "" {
			b.WriteString(" " + text)
		}
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if first, _, _ := strings.Cut(e.Code, " "); e.Code != "" && first != strconv.Itoa(e.StatusCode) { // not "404 Not Found" twice
		fmt.Fprintf(&b, " [%s]", e.Code)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	var notes []string
	if e.Attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", e.Attempts))
	}
	if e.RequestID != "" {
		notes = append(notes, "request id "+e.RequestID)
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(notes, ", "))
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns the underlying error, nil if the status says it all.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the sentinels by status code and ambiguity.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrAmbiguous:
		return e.Ambiguous
	case ErrTransient:
		return e.transient()
	case ErrRefused:
		return e.StatusCode >= 200 && e.StatusCode < 300 && e.Err == nil
	case auth.ErrRefused:
		// A proxy that wants a password of its own has refused other credentials.
		return e.StatusCode >= 400 && e.StatusCode < 500 && e.StatusCode != http.StatusProxyAuthRequired && !transientStatus(e.StatusCode)
	case ErrBadRequest:
		return e.StatusCode == http.StatusBadRequest
	case ErrUnauthorized:
		return e.StatusCode == http.StatusUnauthorized
	case ErrForbidden:
		return e.StatusCode == http.StatusForbidden
	case ErrNotFound:
		return e.StatusCode == http.StatusNotFound
	case ErrConflict:
		return e.StatusCode == http.StatusConflict
	case ErrTooManyRequests:
		return e.StatusCode == http.StatusTooManyRequests
	case ErrServer:
		return e.StatusCode >= 500
	default:
		return false
	}
}

func (e *Error) transient() bool {
	local, ok := errors.AsType[*localError](e.Err)
	switch {
	case e.Ambiguous:
		return false // there is something to find out first
	case ok: // also beside a 401, when there was no other token
		return IsTransient(local.err)
	case e.StatusCode == 0 || e.StatusCode >= 200 && e.StatusCode < 300:
		return e.Err != nil && isTransient(e.Err)
	default:
		return transientStatus(e.StatusCode)
	}
}

// IsTransient reports whether the call that returned err may succeed if it is
// repeated later.
func IsTransient(err error) bool {
	if err == nil || isContext(err) || errors.Is(err, ErrAmbiguous) {
		return false
	}
	return errors.Is(err, ErrTransient) || temporary(err)
}

// isTransient is the same for the cause of a failed attempt: a connection's
// failure is transient unless another attempt would meet it again.
func isTransient(err error) bool {
	if local, ok := errors.AsType[*localError](err); ok {
		return IsTransient(local.err)
	}
	return !isContext(err) && !isPermanent(err)
}

func isContext(err error) bool {
	// A timeout of our own is a net.Error as well, but it is not one of these.
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// temporary reports whether an error of a caller's own code is marked as
// transient: by a method Temporary, or as a connection that could not be made.
func temporary(err error) bool {
	if t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err); ok && t.Temporary() {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" && !isPermanent(err)
}

// transientStatus reports whether a status is transient. The 52x are of
// gateways in front of a service, 598 and 599 of proxies that timed out.
func transientStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusInsufficientStorage, 598, 599:
		return true
	default:
		return status >= 520 && status <= 530
	}
}

// isPermanent reports whether another attempt would meet the same failure.
func isPermanent(err error) bool {
	if errors.Is(err, ErrResponseTooLarge) || isRefusal(err) {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return true
	}
	if proxy, ok := errors.AsType[*wire.ProxyError](err); ok && !transientStatus(proxy.StatusCode) {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && refusedByTLS(op)
}

// refusedByTLS reports whether the peer refused our certificate, a connection
// without one, or every TLS version and cipher that we offer. With TLS 1.3 that
// arrives after the request was sent, but the peer reads no request before it.
func refusedByTLS(op *net.OpError) bool {
	if op.Op != "remote error" && op.Op != "local error" || op.Err == nil {
		return false
	}
	switch strings.TrimPrefix(op.Err.Error(), "tls: ") {
	case "certificate required", "bad certificate", "unsupported certificate", "revoked certificate",
		"expired certificate", "unknown certificate", "unknown certificate authority", "access denied",
		"no renegotiation", "handshake failure", "protocol version not supported":
		return true
	default:
		return false
	}
}

// neverProcessed reports whether the error itself shows that no service saw the
// request: it arose before there was a connection, or before the peer read from
// it. Once a request was written, only the latter is possible.
func neverProcessed(err error, wrote bool) bool {
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case nil:
		return false
	case *net.OpError:
		if !wrote && (e.Op == "dial" || e.Op == "proxyconnect") || refusedByTLS(e) {
			return true
		}
	case *wire.ProxyError, *net.DNSError, *tls.CertificateVerificationError, tls.RecordHeaderError:
		return !wrote
	case interface{ Unwrap() []error }:
		// One of them may be of a second round trip.
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !neverProcessed(err, wrote) })
	}
	return neverProcessed(errors.Unwrap(err), wrote)
}

// RefusalError is the service's own refusal in a 2xx response.
type RefusalError struct{ Code, Message string }

func (e *RefusalError) Error() string { return e.Message }

func isRefusal(err error) bool {
	_, ok := errors.AsType[*RefusalError](err)
	return ok
}

// errStatus stands for a status that needs no other words.
var errStatus = errors.New("bad status")

var errAttemptTimeout error = timeoutError("no complete response within the time limit of an attempt")

type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true } // so that it is a net.Error

// localError is a failure on our side, before or while a request is sent.
type localError struct {
	what string
	err  error
}

func (e *localError) Error() string { return e.what + ": " + e.err.Error() }

// Is implements the interface of [errors.Is], in place of Unwrap: that a login's
// own target is not found, say, must not read as if the call's were not.
func (e *localError) Is(target error) bool {
	switch target {
	case ErrBadRequest, ErrForbidden, ErrNotFound, ErrConflict, ErrRefused:
		return false
	default:
		return errors.Is(e.err, target)
	}
}

// As implements the interface of [errors.As].
func (e *localError) As(target any) bool { return errors.As(e.err, target) }

// foreignTimeoutError is a deadline that was none of the call's: that of a dial, of a
// transport's wait for a header, of the request for a token. It is transient, and
// does not match the error of a context, as such errors do.
type foreignTimeoutError struct{ err error }

func (e *foreignTimeoutError) Error() string { return e.err.Error() }
func (*foreignTimeoutError) Timeout() bool   { return true }
func (*foreignTimeoutError) Temporary() bool { return true }

// Is implements the interface of [errors.Is], in place of Unwrap.
func (e *foreignTimeoutError) Is(target error) bool {
	return target != context.DeadlineExceeded && errors.Is(e.err, target)
}

// As implements the interface of [errors.As].
func (e *foreignTimeoutError) As(target any) bool { return errors.As(e.err, target) }

// notOurs returns err as what ended while the context of the call went on.
func notOurs(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &foreignTimeoutError{err}
	}
	return err
}

// transientError marks an error whose chain was cut off.
type transientError struct{ error }

func (e *transientError) Unwrap() error        { return e.error }
func (e *transientError) Is(target error) bool { return target == ErrTransient }

// reason returns the cause of a failed round trip, without what may hold
// secrets: a *url.Error repeats the whole URL.
func reason(parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return ContextErr(parent)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return notOurs(err)
}

// orContextErr returns err, or why ctx ended where it did.
func orContextErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ContextErr(ctx)
	}
	return err
}

// tokenErr returns why there is no token: err, or that ctx ended.
func tokenErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ContextErr(ctx)
	}
	return notOurs(err)
}

// ContextErr returns why ctx ended: the standard error, with the caller's own
// cause.
func ContextErr(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
