package transport

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// baseURL is where calls go. Credentials go nowhere else.
type baseURL struct{ url.URL }

// parseBaseURL returns what is wrong with raw as a problem. permit is what an
// error names as permitting plain http.
func parseBaseURL(raw string, insecure bool, permit string) (base baseURL, problem string) {
	if strings.ContainsAny(raw, `\`) {
		return base, "must not contain a backslash"
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Parse repeats the whole text, password included.
		return base, "is not a URL"
	}
	switch {
	case u.User != nil:
		return base, "must not contain user info"
	case u.RawQuery != "" || u.ForceQuery:
		return base, "must not have a query"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return base, "must not have a fragment"
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return base, "must be absolute, like https://host"
	case badPort(u.Port()):
		return base, "must have a port from 1 to 65535, or none"
	case u.Scheme != "https" && u.Scheme != "http":
		return base, "must have the scheme https, not " + strconv.Quote(u.Scheme)
	case strings.Contains(u.Path, "//"), hasDotSegment(u.Path):
		return base, "must not have empty or dot segments in its path"
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return base, "must be https, because plain http would send the credentials unencrypted; " + permit + " permits that in a trusted network"
	}
	u.Host = strings.TrimSuffix(u.Host, ":") // a port that is empty
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	if !strings.Contains(u.Host, "%") { // the zone of an IPv6 address has a case
		u.Host = strings.ToLower(u.Host)
	}
	return baseURL{*u}, ""
}

func badPort(port string) bool {
	if port == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err != nil || n == 0
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// sameOrigin reports whether credentials may go to u: scheme, host and port are
// those of the base URL.
func (b *baseURL) sameOrigin(u *url.URL) bool {
	return u.Scheme == b.Scheme && strings.EqualFold(u.Hostname(), b.Hostname()) && port(u) == port(&b.URL)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
