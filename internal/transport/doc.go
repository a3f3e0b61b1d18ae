// Package transport carries one typed call to a service and its typed answer
// back: build, send, retry, limit, decode, log. It knows no service.
//
// The way of a call is Do (call.go builds the request), the retry loop
// (retry.go), one try with its credentials, time limits and log record
// (try.go), and net/http. Nothing is sent from anywhere else.
package transport
