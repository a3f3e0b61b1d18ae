package transport

import (
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/rawhttp"
)

func TestBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.example":                         "https://api.example",
		"https://api.example/":                        "https://api.example",
		"https://api.example/v1/":                     "https://api.example/v1",
		"https://api.example/a%2Fb/":                  "https://api.example/a%2Fb",
		"HTTPS://API.Example:8443/Path":               "https://api.example:8443/Path",
		"https://xn--bcher-kva.example":               "https://xn--bcher-kva.example",
		"https://bücher.example":                      "https://b%C3%BCcher.example",
		"https://api.example:/v1":                     "https://api.example/v1",
		"https://api.example:65535":                   "https://api.example:65535",
		"https://192.0.2.1":                           "https://192.0.2.1",
		"https://[2001:DB8::1]:8443":                  "https://[2001:db8::1]:8443",
		"https://[fe80::1%25Eth0]/v1":                 "https://[fe80::1%25Eth0]/v1",
		"http://localhost:8080":                       "http://localhost:8080",
		"http://LOCALHOST":                            "http://localhost",
		"http://127.0.0.1:8080/x":                     "http://127.0.0.1:8080/x",
		"http://127.8.9.10":                           "http://127.8.9.10",
		"http://[::1]:8080":                           "http://[::1]:8080",
		"http://[::ffff:127.0.0.1]":                   "http://[::ffff:127.0.0.1]",
		"https://api.example/with%20space/and+ümläut": "https://api.example/with%20space/and+%C3%BCml%C3%A4ut",
	} {
		t.Run(raw, func(t *testing.T) {
			c := newClient(t, Config{BaseURL: raw})
			require.Equal(t, want, c.BaseURL())
		})
	}
	c := newClient(t, Config{BaseURL: "http://api.example", InsecureHTTP: true})
	require.Equal(t, "http://api.example", c.BaseURL())
}

func TestBaseURLRefused(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                 "absolute",
		"api.example":                      "absolute",
		"/path":                            "absolute",
		"//api.example":                    "scheme",
		"https:api.example":                "absolute",
		"https://":                         "absolute",
		"https:///path":                    "absolute",
		"https://:443":                     "absolute",
		"mailto:someone@api.example":       "absolute",
		"ftp://api.example":                "scheme",
		"unix:///run/api.sock":             "absolute",
		"https://user@api.example":         "user info",
		"https://user:pw12@api.example":    "user info",
		"https://@api.example":             "user info",
		"https://user:pw12@api.example:x/": "is not a URL",
		"https://api.example?":             "query",
		"https://api.example/?a=pw12":      "query",
		"https://api.example#":             "fragment",
		"https://api.example/#pw12":        "fragment",
		`https://api.example\@evil.test`:   "backslash",
		`https:\\api.example`:              "backslash",
		"https://api.example//v1":          "segments",
		"https://api.example/v1//":         "segments",
		"https://api.example//":            "segments",
		"https://api.example/../v1":        "segments",
		"https://api.example/%2e%2e/v1":    "segments",
		"https://api.example/./v1":         "segments",
		"https://api.example/a%2F..%2Fb":   "segments",
		"https://api.example:0":            "port",
		"https://api.example:65536":        "port",
		"https://api.example:99999999999":  "port",
		"https://api.example:-1":           "is not a URL",
		"https://api.example:http":         "is not a URL",
		"https://api .example":             "is not a URL",
		" https://api.example":             "is not a URL",
		"https://api.example\n":            "is not a URL",
		"https://api.example/\x00":         "is not a URL",
		"https://[::1":                     "is not a URL",
		"https://api.example/%zz":          "is not a URL",
		"http://api.example":               "WithInsecureHTTP()",
		"http://192.0.2.1":                 "WithInsecureHTTP()",
		"http://0.0.0.0":                   "WithInsecureHTTP()",
		"http://[::]":                      "WithInsecureHTTP()",
		"http://[fe80::1%25lo]":            "WithInsecureHTTP()",
		"http://localhost.evil.test":       "WithInsecureHTTP()",
		"http://127.0.0.1.evil.test":       "WithInsecureHTTP()",
		"http://127.1":                     "WithInsecureHTTP()",
		"http://xn--lcalhost-n2a.example":  "WithInsecureHTTP()",
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := New(Config{Package: "jobs", BaseURL: raw, Invalid: invalid})
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.ErrorContains(t, err, ": WithBaseURL: ")
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "pw12")

			_, err = New(Config{Package: "jobs", BaseURL: raw, BaseURLName: "TokenURL", Invalid: invalid})
			require.ErrorContains(t, err, ": TokenURL: ")
		})
	}
}

func TestConfigRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		config Config
		want   string
	}{
		"no attempt":        {Config{Retry: &Retry{MaxAttempts: 0}}, ": WithRetry: maxAttempts must be at least 1, not 0"},
		"negative attempts": {Config{Retry: &Retry{MaxAttempts: -1}}, ": WithRetry: maxAttempts"},
		"negative wait":     {Config{Retry: &Retry{MaxAttempts: 1, MinWait: -1}}, ": WithRetry: minWait must not be negative"},
		"bounds swapped":    {Config{Retry: &Retry{MaxAttempts: 1, MinWait: 2, MaxWait: 1}}, ": WithRetry: maxWait must not be below minWait"},
		"attempt timeout":   {Config{AttemptTimeout: -1}, ": WithAttemptTimeout: must not be negative"},
		"stall timeout":     {Config{StallTimeout: -1}, ": WithStallTimeout: must not be negative"},
		"user agent":        {Config{UserAgent: "app\r\nX-Evil: 1"}, ": WithUserAgent: must not contain control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.Package, tt.config.BaseURL, tt.config.Invalid = "jobs", "https://api.example", invalid
			_, err := New(tt.config)
			require.ErrorIs(t, err, ErrInvalidArgument)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestConfigDefaults(t *testing.T) {
	c := newClient(t, Config{BaseURL: "https://api.example"})
	require.Equal(t, Retry{5, 500 * time.Millisecond, 30 * time.Second}, c.retry.limits)
	require.Equal(t, 30*time.Second, c.config.AttemptTimeout)
	require.Equal(t, 60*time.Second, c.config.StallTimeout)

	newClient(t, Config{BaseURL: "https://api.example", Retry: &Retry{MaxAttempts: math.MaxInt, MaxWait: math.MaxInt64}})
}

// A caller's client without a transport sends through http.DefaultTransport
// where somebody has replaced it, to instrument it, and through ours otherwise.
func TestDefaultTransport(t *testing.T) {
	s := serveTCP(t, rawhttp.Respond(okJSON(`{}`)))
	c := newClient(t, Config{BaseURL: s.URL(), HTTPClient: &http.Client{}})
	require.IsType(t, &http.Transport{}, c.retry.next.next)

	var seen atomic.Int64
	original := http.DefaultTransport                                                 //nolint:forbidigo // the test is about it
	defer func() { http.DefaultTransport = original }()                               //nolint:forbidigo // put back
	http.DefaultTransport = roundTrip(func(r *http.Request) (*http.Response, error) { //nolint:forbidigo // as instrumentation does
		seen.Add(1)
		return original.RoundTrip(r)
	})
	for _, client := range []*http.Client{http.DefaultClient, {}} { //nolint:forbidigo // the test is about it
		c = newClient(t, Config{BaseURL: s.URL(), HTTPClient: client})
		_, _, err := do(t.Context(), c, get(Safe))
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, seen.Load())
	c = newClient(t, Config{BaseURL: s.URL()})
	require.IsType(t, &http.Transport{}, c.retry.next.next, "no client was given")
	original.(*http.Transport).CloseIdleConnections() //nolint:errcheck // checked above
}
