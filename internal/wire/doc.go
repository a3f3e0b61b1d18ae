// Package wire holds the connections below the requests: an [http.Transport]
// made for parallel uploads, a guard against stalled uploads, and request
// bodies that keep a failing source apart from a failing connection. It knows
// nothing of calls, retries or services.
package wire
