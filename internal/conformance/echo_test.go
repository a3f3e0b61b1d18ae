package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jarcoal/httpmock"
)

// sent returns all that a request carries, as it is and decoded.
func sent(r *http.Request) string {
	var all strings.Builder
	for name, values := range r.Header {
		all.WriteString(name + ": " + strings.Join(values, ", ") + "\n")
	}
	if user, password, ok := r.BasicAuth(); ok {
		all.WriteString(user + ":" + password + "\n")
	}
	all.WriteString(r.URL.RawQuery + "\n")
	for _, values := range r.URL.Query() {
		all.WriteString(strings.Join(values, "\n") + "\n")
		for _, value := range values {
			if once, err := url.PathUnescape(value); err == nil {
				all.WriteString(once + "\n")
			}
		}
	}
	if r.Body != nil {
		data, _ := io.ReadAll(r.Body)
		all.Write(data)
		var body any
		if json.Unmarshal(data, &body) == nil {
			for _, text := range texts(body) {
				all.WriteString("\n" + text)
			}
		}
	}
	return all.String()
}

// texts returns the strings in a decoded JSON value.
func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, item := range v {
			all = append(all, texts(item)...)
		}
	case map[string]any:
		for _, item := range v {
			all = append(all, texts(item)...)
		}
	}
	return all
}

// repeat returns a response that says what was sent, in a form that suits its
// type.
func repeat(r *http.Request, status int, contentType string) *http.Response {
	text := sent(r)
	var body string
	switch contentType {
	case "application/json":
		quoted, _ := json.Marshal(map[string]any{
			"message": text, "error": map[string]any{"message": text, "code": status}, "error_message": text, "success": false, "token": 5,
		})
		body = string(quoted)
	case "text/html":
		body = "<html><title>" + html.EscapeString(text) + "</title><body>" + html.EscapeString(text) + "</body></html>"
	case "application/x-www-form-urlencoded":
		body = url.QueryEscape(text)
	default:
		body = text
	}
	resp := httpmock.NewStringResponse(status, body)
	line := strings.NewReplacer("\n", " ", "\r", " ").Replace(text)
	resp.Header = http.Header{
		"Content-Type": {contentType},
		"X-Request-Id": {line},
		"Location":     {"https://elsewhere.example/" + url.PathEscape(line) + "?q=" + url.QueryEscape(line)},
		"Retry-After":  {"0"},

		"X-Ratelimit-Policy": {line},
	}
	resp.Request = r
	return resp
}

// echo returns a service that sends back all that it was sent.
func echo(status int, contentType string) *http.Client {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) { return repeat(r, status, contentType), nil })
	return &http.Client{Transport: mock}
}

// echoes returns services that repeat what they are sent.
func echoes() map[string]*http.Client {
	all := map[string]*http.Client{
		"400 JSON":    echo(400, "application/json"),
		"401 text":    echo(401, "text/plain"),
		"403 HTML":    echo(403, "text/html"),
		"409 encoded": echo(409, "application/x-www-form-urlencoded"),
		"503 JSON":    echo(503, "application/json"),
		"307":         echo(307, "text/plain"),
		"200 JSON":    echo(200, "application/json"),
		"200 text":    echo(200, "text/plain"),
		"200 HTML":    echo(200, "text/html"),
	}
	all["broken off"] = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: echoedError(sent(r))}
	})}
	// The service's own refusal, in the only form that is known.
	locked := func(more func(*http.Request) string) *http.Client {
		return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			text := "image locked by diffid: 5; " + more(r)
			quoted, _ := json.Marshal(map[string]any{"success": false, "error_code": 1, "error_message": text})
			return httpmock.NewBytesResponse(200, quoted), nil
		})}
	}
	all["locked"] = locked(func(*http.Request) string { return "" })
	all["locked, and more"] = locked(sent)
	return all
}

// echoedError is that of a transport that repeats a request.
type echoedError string

func (e echoedError) Error() string { return string(e) }

// sharedText is a text that several goroutines write.
type sharedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sharedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sharedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// provoke runs an operation against such a service, and returns what log and
// observer learn, and its error.
func provoke(t *testing.T, o *operation, client *http.Client) (log string, err error) {
	t.Helper()
	var records sharedText
	ctx, cancel := context.WithTimeout(t.Context(), afterwards)
	defer cancel()
	_, err = o.run(ctx, &env{
		base: pipeBase, client: client,
		observe: func(attempt any) { fmt.Fprintf(&records, "%+v\n", attempt) },
		logger:  slog.New(slog.NewTextHandler(&records, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return records.String(), err
}
