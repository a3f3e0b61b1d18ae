package multiplay

import "time"

// Attempt is one attempt of a request, as [WithObserver] reports it. No field
// holds a secret.
type Attempt struct {
	// Op is the operation, as in [Error].
	Op string
	// Method, Host and Path are those of the request. Query has the parameters
	// that are safe to show, encoded.
	Method string
	Host   string
	Path   string
	Query  string
	// Number counts the attempts of the call, from 1. It is 0 if no request was
	// sent, for want of credentials.
	Number int
	// StatusCode is the status of the response, 0 if there was none.
	StatusCode int
	// Duration is the time from the request for credentials and a connection to
	// the end of the response.
	Duration time.Duration
	// BytesSent and BytesReceived count the bodies.
	BytesSent     int64
	BytesReceived int64
	// RequestID is the id that the service or a gateway gave the request, empty if
	// none.
	RequestID string
	// Err is the underlying error of a failure, nil if the status says it all.
	Err error
	// Retry reports whether the call is sent again, after RetryIn.
	Retry   bool
	RetryIn time.Duration
}
