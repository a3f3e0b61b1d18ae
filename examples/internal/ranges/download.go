package ranges

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/imagejobs/imagejobs-go/internal/redact"
)

const (
	userAgent = "imagejobs-example/1"
	maxIdle   = 64 // connections; no upload has more chunks in flight
)

// Download is an object behind an http or https URL.
type Download struct {
	transport *http.Transport
	url       *url.URL
	name      string // scheme, host and the last part of the path

	size int64
	// etag and modified are the version.
	etag, modified string
}

// ParseURL checks the URL of an image. Its error does not repeat it.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL: percent-encode the credentials in it")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("must be absolute, like https://host/image.tar.gz")
	case u.Fragment != "":
		return nil, errors.New("must not have a fragment: percent-encode # in credentials")
	case u.Scheme == "http" && (u.User != nil || u.RawQuery != "") && !isLoopback(u.Hostname()):
		return nil, errors.New("must begin with https: its user, password or query would travel unencrypted")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// OpenURL finds out which version there is. It asks for the first byte: a URL
// that is signed for GET refuses HEAD, and only the response to a range shows
// that there are ranges. The pause is that of [NewSource]. No error shows a
// credential of the URL.
func OpenURL(ctx context.Context, u *url.URL, pause time.Duration) (*Download, error) {
	transport := cleanhttp.DefaultPooledTransport()
	transport.MaxIdleConnsPerHost = maxIdle
	d := &Download{transport: transport, url: u, name: u.Scheme + "://" + u.Host + "/…/" + path.Base(u.EscapedPath())}
	first := NewSource(ctx, (*first)(d), 1, 1, 0, pause)
	if _, err := first.ReadAt(make([]byte, 1), 0); err != nil { //nolint:contextcheck // the source has it
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the connections that nobody uses.
func (d *Download) Close() { d.transport.CloseIdleConnections() }

// Size returns the length of the object in bytes.
func (d *Download) Size() int64 { return d.size }

// Version returns what tells versions of the object apart.
func (d *Download) Version() string {
	return fmt.Sprintf("%d bytes, ETag %s, Last-Modified %s", d.size, d.etag, d.modified)
}

// Open implements [Object].
func (d *Download) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return d.part(ctx, offset, length, func(*http.Response) error { return nil })
}

// first is the download before its version is known: the response says which
// it is.
type first Download

// Open implements [Object].
func (f *first) Open(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return (*Download)(f).part(ctx, offset, length, func(response *http.Response) (err error) {
		if response.StatusCode != http.StatusPartialContent {
			return nil
		}
		f.etag, f.modified = response.Header.Get("ETag"), response.Header.Get("Last-Modified")
		if f.etag == "" && f.modified == "" {
			return Final("the response has neither ETag nor Last-Modified, without which a change of the object would go unnoticed")
		}
		_, _, f.size, err = contentRange(response.Header.Get("Content-Range"))
		return err
	})
}

// part requests a part and checks the response, which seen gets first. No error
// shows a credential.
func (d *Download) part(ctx context.Context, offset, length int64, seen func(*http.Response) error) (io.ReadCloser, error) {
	response, secrets, err := d.get(ctx, offset, length)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", d.name, secrets.Err(err))
	}
	if err = seen(response); err == nil {
		err = d.check(response, offset, length, secrets.Text)
	}
	if err != nil {
		_ = response.Body.Close() // not needed
		return nil, fmt.Errorf("GET %s: %w", d.name, err)
	}
	return Guard(response.Body, secrets), nil
}

const maxRedirects = 5

// get follows redirects itself, without an http.Client: none tells the next host
// about the one before, none leads to plain http, and no error repeats a URL.
func (d *Download) get(ctx context.Context, offset, length int64) (*http.Response, *redact.Set, error) {
	target, values := d.url, credentialsIn(d.url)
	for range maxRedirects + 1 {
		secrets := redact.New(values...)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
		if err != nil {
			return nil, secrets, Final("the URL cannot be requested")
		}
		d.setHeader(r.Header, offset, length)
		if target.User != nil {
			password, _ := target.User.Password()
			r.SetBasicAuth(target.User.Username(), password)
		}
		response, err := d.transport.RoundTrip(r)
		if err != nil || response.StatusCode < 300 || response.StatusCode > 399 || response.Header.Get("Location") == "" {
			return response, secrets, err
		}
		_ = response.Body.Close() // not needed
		next, err := target.Parse(response.Header.Get("Location"))
		switch {
		case err != nil:
			return nil, secrets, Final("%s redirects to what is no URL", target.Host)
		case next.Scheme != "https" && (next.Scheme != "http" || target.Scheme == "https"):
			return nil, secrets, Final("%s redirects to %s, which is not encrypted", target.Host, next.Host)
		}
		target, values = next, slices.Concat(values, credentialsIn(next))
	}
	return nil, redact.New(values...), Final("more than %d redirects", maxRedirects)
}

func (d *Download) setHeader(header http.Header, offset, length int64) {
	header.Set("User-Agent", userAgent)
	header.Set("Accept-Encoding", "identity") // ranges are of the bytes as they are stored
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	switch {
	case strings.HasPrefix(d.etag, `"`): // If-Match never holds for a weak one
		header.Set("If-Match", d.etag)
	case d.modified != "":
		header.Set("If-Unmodified-Since", d.modified)
	}
}

// credentialsIn returns the user, the password and the query of a URL. Any value
// in that may be a signature or a token.
func credentialsIn(u *url.URL) []string {
	password, _ := u.User.Password()
	values := []string{u.User.Username(), password, u.RawQuery}
	for _, more := range u.Query() {
		values = append(values, more...)
	}
	return values
}

// check finds out whether a response has the part that was asked for, of the
// version that was found first. What it shows of the response goes through shown.
func (d *Download) check(response *http.Response, offset, length int64, shown func(string) string) error {
	header := response.Header
	switch status := response.StatusCode; {
	case status == http.StatusPartialContent:
	case status == http.StatusOK:
		accepts := "no Accept-Ranges"
		if values := header.Values("Accept-Ranges"); len(values) > 0 {
			accepts = "Accept-Ranges: " + shown(strings.Join(values, ", "))
		}
		return Final("200 OK in place of 206 Partial Content: the server does not serve ranges (%s)", accepts)
	case status == http.StatusPreconditionFailed:
		return Changed("%s was replaced", d.name)
	case status == http.StatusRequestedRangeNotSatisfiable && d.size > 0:
		return Changed("%s no longer has %d bytes", d.name, d.size)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return Final("416 Range Not Satisfiable: the object is empty, or the server cannot serve ranges of it")
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return unavailable(status, header.Get("Retry-After"))
	default:
		return Final("%d %s", status, http.StatusText(status))
	}
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return Final("the response is encoded, so that its ranges are not those of the image")
	}
	from, to, total, err := contentRange(header.Get("Content-Range"))
	switch {
	case err != nil:
		return err
	case from != offset || to >= offset+length:
		return Final("asked for bytes %d-%d, the response has %d-%d", offset, offset+length-1, from, to)
	case total != d.size:
		return Changed("its size was %d and is %d", d.size, total)
	case d.etag != "" && header.Get("ETag") != d.etag: // a server may ignore If-Match
		return Changed("the ETag of %s was %s and is %s", d.name, shown(d.etag), shown(header.Get("ETag")))
	case d.etag == "" && header.Get("Last-Modified") != d.modified:
		return Changed("%s was modified at %s and is at %s", d.name, shown(d.modified), shown(header.Get("Last-Modified")))
	}
	return nil
}

// contentRange parses "bytes 0-99/1000".
func contentRange(header string) (from, to, total int64, err error) {
	text, ok := strings.CutPrefix(header, "bytes ")
	text, size, _ := strings.Cut(text, "/")
	begin, end, _ := strings.Cut(text, "-")
	from, err1 := strconv.ParseInt(begin, 10, 64)
	to, err2 := strconv.ParseInt(end, 10, 64)
	if size == "*" {
		return 0, 0, 0, Final("the response does not say how large the object is")
	}
	total, err3 := strconv.ParseInt(size, 10, 64)
	if !ok || errors.Join(err1, err2, err3) != nil || from < 0 || to < from || total <= to {
		return 0, 0, 0, Final("a 206 Partial Content without a valid Content-Range")
	}
	return from, to, total, nil
}

func unavailable(status int, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds <= 0 {
		return &unavailableError{fmt.Errorf("%d %s", status, http.StatusText(status)), 0}
	}
	return &unavailableError{
		fmt.Errorf("%d %s, Retry-After: %d", status, http.StatusText(status), seconds), time.Duration(seconds) * time.Second,
	}
}

// Guard returns a body whose errors show none of the secrets.
func Guard(body io.ReadCloser, secrets *redact.Set) io.ReadCloser { return &guarded{body, secrets} }

type guarded struct {
	io.ReadCloser

	secrets *redact.Set
}

// Read implements io.Reader.
func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader ends with io.EOF itself
		err = g.secrets.Err(err)
	}
	return n, err
}
