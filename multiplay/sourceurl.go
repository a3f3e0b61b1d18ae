package multiplay

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// SourceURL is a source that is given as its URL. Create it with
// [ParseSourceURL]; the zero value is no source. Like a [Secret], it prints as
// REDACTED.
type SourceURL struct{ hidden }

// ParseSourceURL returns a source with the given URL, which is sent as it is:
// credentials in it must be percent-encoded. The schemes are those of the
// documents:
//
//	s3://<access key>:<secret key>@<bucket>/<folder>/?<parameters>
//	steam://<user>:<password>@install/<appid>/?<parameters>
//	gs://<bucket>/<folder>?credentials=<JSON>&<parameters>
//	cos://…
//
// What follows cos:// is not documented and not checked. Without a password the
// Steam user must be anonymous. A wrong URL is an [*ArgumentError] that does
// not repeat it.
func ParseSourceURL(raw string) (SourceURL, error) {
	const name = "ParseSourceURL"
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// url.Parse repeats what it could not parse, which may be the secret.
		return SourceURL{}, invalid(name, "is not a URL: percent-encode the credentials in it")
	case u.Scheme == "" || u.Host == "":
		return SourceURL{}, invalid(name, "must be absolute, like s3://key:secret@bucket/folder/")
	case strings.Contains(raw, "#"):
		return SourceURL{}, invalid(name, "must not have a fragment: percent-encode # in credentials")
	case misread(u):
		return SourceURL{}, invalid(name, "has its credentials in the wrong place: percent-encode / ? and @ in them")
	}
	if problem := schemeProblem(u); problem != "" {
		return SourceURL{}, invalid(name, "%s", problem)
	}
	return newSourceURL(raw), nil
}

func newSourceURL(raw string) SourceURL { return SourceURL{redact.NewSecret(raw)} }

// Reveal returns the URL as it was given, with its credentials.
func (s SourceURL) Reveal() string { return s.hidden.Reveal() }

// Equal reports whether s and other are the same URL.
func (s SourceURL) Equal(other SourceURL) bool { return s.hidden.Equal(other.hidden) }

func (s SourceURL) check() error { return required("SourceURL", s.Reveal()) }

func (s SourceURL) url() string { return s.Reveal() }

// schemeProblem returns why the service could not fetch from u, "" if it could.
func schemeProblem(u *url.URL) string {
	password, _ := u.User.Password()
	switch u.Scheme {
	case "s3":
		if u.User.Username() == "" || password == "" {
			return "must have an access key and a secret key, like s3://key:secret@bucket/folder/"
		}
	case "steam":
		app, err := strconv.ParseInt(strings.Trim(u.Path, "/"), 10, 64)
		isUser := u.User.Username() == anonymous || u.User.Username() != "" && password != ""
		if !isUser || u.Host != "install" || err != nil || app <= 0 {
			return "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/"
		}
	case "gs":
		if u.Query().Get("credentials") == "" {
			return "must have credentials, like gs://bucket/folder?credentials=%7B…%7D"
		}
	case "cos": // its form is not documented
	default:
		return "must begin with s3://, steam://, gs:// or cos://"
	}
	return ""
}

// misread reports whether credentials that were not percent-encoded may stand
// where a bucket, its port or a path was parsed.
func misread(u *url.URL) bool {
	return strings.Contains(u.EscapedPath(), "@") || u.User == nil && u.Port() != ""
}

func (s SourceURL) secrets() []string {
	raw := s.Reveal()
	var values []string
	if _, rest, ok := strings.Cut(raw, "://"); ok {
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			user, password, _ := strings.Cut(rest[:at], ":")
			values = append(values, rest[:at], user, password)
		}
	}
	_, query, _ := strings.Cut(raw, "?")
	for parameter := range strings.SplitSeq(query, "&") {
		switch name, value, _ := strings.Cut(parameter, "="); name {
		case "handlers", "region", "requesttimeout", "platformtype", "platformbitness", "beta", "appmod":
		default:
			values = append(values, value)
		}
	}
	for _, value := range slices.Clone(values) {
		if decoded, err := url.PathUnescape(value); err == nil {
			values = append(values, decoded)
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			values = append(values, decoded)
		}
	}
	return values
}

// sentSecrets are the credentials of the sources that a client sent. The service
// may repeat them in any later response, of a job that failed above all.
type sentSecrets struct {
	mu   sync.Mutex
	list func() []string // a func, so that nothing shows what is in it
}

// maxSent bounds what a client that lives for long keeps: the newest.
const maxSent = 256

func (s *sentSecrets) add(source Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	if s.list != nil {
		list = slices.Clone(s.list())
	}
	for _, secret := range append(source.secrets(), source.url()) {
		if secret != "" && secret != anonymous && !slices.Contains(list, secret) {
			list = append(list, secret)
		}
	}
	list = list[max(0, len(list)-maxSent):]
	s.list = func() []string { return list }
}

func (s *sentSecrets) values() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		return nil
	}
	return s.list()
}

// hide returns text, or that it is not shown if it repeats a credential. A URL
// as it was sent is taken out before, so that what is said about it remains.
func (s *sentSecrets) hide(text string) string {
	if text == "" { // as for most jobs
		return ""
	}
	values := s.values()
	for _, value := range values {
		if scheme, _, ok := strings.Cut(value, "://"); ok {
			text = strings.ReplaceAll(text, value, scheme+"://"+redact.Redacted)
		}
	}
	return withoutSources(redact.New(values...).Text(text))
}

// sourceInText finds source URLs in what the service says, encoded ones too.
var sourceInText = regexp.MustCompile(`(?i)\b(s3|steam|gs|cos)` +
	`(?::|%(?:25)*3a|\\u003a|&colon;|&#x?\w+;)(?:\\?/|%(?:25)*2f|\\u002f|&sol;|&#x?\w+;){2}[^\s"'<>]+`)

// withoutSources returns text without the source URLs in it: a client knows the
// credentials of those that it sent, not those of others.
func withoutSources(text string) string {
	return sourceInText.ReplaceAllString(text, "$1://"+redact.Redacted)
}
