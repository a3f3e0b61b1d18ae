package multiplay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/auth"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Source is where an image update fetches its files from: an S3Source,
// SteamSource, GoogleStorageSource or SourceURL. Whatever way it is printed,
// logged or marshaled, its credentials show as REDACTED.
//
// Source: "Image update create URL parameters".
type Source interface {
	// URL is the source as a URL, credentials included: a secret. They are
	// percent-encoded in it once; the query encoder of the call encodes the
	// whole a second time, as the documents ask. A field that is wrong is an
	// error that names it.
	URL() (string, error)
	// String is that URL without its credentials.
	String() string

	// secrets are the values that no error or log may show.
	secrets() []string
}

// S3Source is a folder of an Amazon S3 bucket.
type S3Source struct {
	// AccessKey and SecretKey are those of an IAM user, as they are: not yet
	// percent-encoded. Both required. Temporary credentials with a session
	// token do not work.
	AccessKey string
	SecretKey string
	// Bucket is required; Folder is the path in it, empty for all of it.
	Bucket string
	Folder string
	// Region is the bucket's; empty leaves the service's default, eu-west-1.
	Region string
	// Handlers is how many transfers run at once; 0 leaves the service's
	// default, 10.
	Handlers int
	// RequestTimeout bounds one request to S3; 0 leaves the service's default,
	// 2 minutes.
	RequestTimeout time.Duration
}

// URL is s3://<access key>:<secret key>@<bucket>/<folder>/?<parameters>.
func (s S3Source) URL() (string, error) {
	const name = "S3Source"
	if err := cmp.Or(
		required(name+".AccessKey", s.AccessKey),
		required(name+".SecretKey", s.SecretKey),
		checkBucket(name, s.Bucket),
		checkFolder(name, s.Folder),
		checkTransfer(name, s.Handlers, s.RequestTimeout),
	); err != nil {
		return "", err
	}
	return s.build(escape(s.AccessKey), escape(s.SecretKey)), nil
}

func (s S3Source) build(accessKey, secretKey string) string {
	q := transferQuery(s.Handlers, s.RequestTimeout)
	setUnlessEmpty(q, "region", s.Region)
	return "s3://" + accessKey + ":" + secretKey + "@" + s.Bucket + "/" + folderPath(s.Folder) + parameters(q)
}

// String is the URL without keys.
func (s S3Source) String() string { return s.build(auth.Redacted, auth.Redacted) }

// Format implements fmt.Formatter, so that no verb shows the keys.
func (s S3Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s S3Source) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the keys out of JSON.
func (s S3Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s S3Source) secrets() []string { return []string{s.AccessKey, s.SecretKey} }

// SteamSource is an app of Steam.
type SteamSource struct {
	// User is a Steam user, "anonymous" by default; Password is required for
	// any other. As they are: not yet percent-encoded.
	User     string
	Password string
	// AppID is required.
	AppID int64
	// PlatformType is windows, linux or macos, PlatformBitness 32 or 64. Empty
	// and 0 leave the service's defaults.
	PlatformType    string
	PlatformBitness int
	// GuardCode is a code of Steam Guard; Beta and BetaPassword name a branch;
	// AppMod is the mod of an app that has several. All optional.
	GuardCode    string
	Beta         string
	BetaPassword string
	AppMod       string
}

const anonymous = "anonymous"

// URL is steam://<user>:<password>@install/<appid>/?<parameters>.
func (s SteamSource) URL() (string, error) {
	const name = "SteamSource"
	if err := checkID(name+".AppID", s.AppID); err != nil {
		return "", err
	}
	isAnonymous := s.User == "" || s.User == anonymous
	switch {
	case isAnonymous && s.Password != "":
		return "", transport.Invalid(pkg, name+".Password", "must be empty for the user anonymous")
	case !isAnonymous && s.Password == "":
		return "", transport.Invalid(pkg, name+".Password", "must not be empty")
	case !slices.Contains([]string{"", "windows", "linux", "macos"}, s.PlatformType):
		return "", transport.Invalid(pkg, name+".PlatformType", "must be windows, linux or macos, not %q", s.PlatformType)
	case !slices.Contains([]int{0, 32, 64}, s.PlatformBitness):
		return "", transport.Invalid(pkg, name+".PlatformBitness", "must be 32 or 64, not %d", s.PlatformBitness)
	}
	return s.build(func(secret string) string { return secret }), nil
}

func (s SteamSource) build(show func(string) string) string {
	user := anonymous
	if s.User != "" && s.User != anonymous {
		user = show(s.User)
	}
	q := url.Values{}
	setUnlessEmpty(q, "platformtype", s.PlatformType)
	if s.PlatformBitness != 0 {
		q.Set("platformbitness", strconv.Itoa(s.PlatformBitness))
	}
	setUnlessEmpty(q, "guardcode", show(s.GuardCode))
	setUnlessEmpty(q, "beta", s.Beta)
	setUnlessEmpty(q, "betapassword", show(s.BetaPassword))
	setUnlessEmpty(q, "appmod", s.AppMod)
	return "steam://" + escape(user) + ":" + escape(show(s.Password)) + "@install/" + strconv.FormatInt(s.AppID, 10) + "/" + parameters(q)
}

// String is the URL without user, password, guard code and beta password.
func (s SteamSource) String() string { return s.build(redacted) }

// Format implements fmt.Formatter, so that no verb shows the secrets.
func (s SteamSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s SteamSource) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secrets out of JSON.
func (s SteamSource) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s SteamSource) secrets() []string {
	return []string{s.User, s.Password, s.GuardCode, s.BetaPassword}
}

// GoogleStorageSource is a folder of a Google Cloud Storage bucket.
type GoogleStorageSource struct {
	// Bucket is required; Folder is the path in it, empty for all of it.
	Bucket string
	Folder string
	// CredentialsJSON is the content of a service account's key file, as it is.
	// Required.
	CredentialsJSON []byte
	// Handlers is how many transfers run at once; 0 leaves the service's
	// default, 10.
	Handlers int
	// RequestTimeout bounds one request to the storage; 0 leaves the service's
	// default.
	RequestTimeout time.Duration
}

// URL is gs://<bucket>/<folder>?credentials=<JSON>&<parameters>.
func (s GoogleStorageSource) URL() (string, error) {
	const name = "GoogleStorageSource"
	if err := cmp.Or(
		checkBucket(name, s.Bucket),
		checkFolder(name, s.Folder),
		checkTransfer(name, s.Handlers, s.RequestTimeout),
	); err != nil {
		return "", err
	}
	if trimmed := bytes.TrimSpace(s.CredentialsJSON); !json.Valid(trimmed) || trimmed[0] != '{' {
		return "", transport.Invalid(pkg, name+".CredentialsJSON", "must be a JSON object")
	}
	return s.build(string(s.CredentialsJSON)), nil
}

func (s GoogleStorageSource) build(credentials string) string {
	q := transferQuery(s.Handlers, s.RequestTimeout)
	q.Set("credentials", credentials)
	return "gs://" + s.Bucket + "/" + strings.TrimSuffix(folderPath(s.Folder), "/") + parameters(q)
}

// String is the URL without credentials.
func (s GoogleStorageSource) String() string { return s.build(auth.Redacted) }

// Format implements fmt.Formatter, so that no verb shows the credentials.
func (s GoogleStorageSource) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s GoogleStorageSource) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the credentials out of JSON.
func (s GoogleStorageSource) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// secrets are the file and what is secret in it, which a service that has
// parsed it may repeat alone.
func (s GoogleStorageSource) secrets() []string {
	values := []string{string(s.CredentialsJSON)}
	var fields map[string]any
	if json.Unmarshal(s.CredentialsJSON, &fields) != nil {
		return values
	}
	for _, name := range []string{"private_key", "private_key_id", "client_secret", "refresh_token"} {
		if value, ok := fields[name].(string); ok {
			values = append(values, value)
		}
	}
	return values
}

// SourceURL is a source that is given as its URL. Make it with ParseSourceURL;
// the zero value is none.
type SourceURL struct {
	reveal func() string // a closure, because fmt cannot look into it
}

// ParseSourceURL takes a URL with the credentials in it percent-encoded already,
// and keeps it as it is. The schemes are those of the documents:
//
//	s3://<access key>:<secret key>@<bucket>/<folder>/?<parameters>
//	steam://<user>:<password>@install/<appid>/?<parameters>
//	gs://<bucket>/<folder>?credentials=<JSON>&<parameters>
//	cos://…
//
// What follows cos:// is not documented and not looked at. Without a password
// the Steam user has to be anonymous. What is missing or has another scheme is
// an error that matches ErrInvalidArgument. Errors do not repeat the URL.
func ParseSourceURL(raw string) (SourceURL, error) {
	const name = "ParseSourceURL"
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// url.Parse repeats what it could not parse, which may be the secret.
		return SourceURL{}, transport.Invalid(pkg, name, "is not a URL: percent-encode the credentials in it")
	case u.Scheme == "" || u.Host == "":
		return SourceURL{}, transport.Invalid(pkg, name, "must be absolute, like s3://key:secret@bucket/folder/")
	case strings.Contains(raw, "#"):
		return SourceURL{}, transport.Invalid(pkg, name, "must not have a fragment: percent-encode # in credentials")
	case misread(u):
		return SourceURL{}, transport.Invalid(pkg, name, "has its credentials in the wrong place: percent-encode / ? and @ in them")
	}
	if wrong := checkScheme(u); wrong != "" {
		return SourceURL{}, transport.Invalid(pkg, name, "%s", wrong)
	}
	return sourceURL(raw), nil
}

// checkScheme says why the service could not fetch from u, "" for no reason.
func checkScheme(u *url.URL) string {
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

// misread tells whether credentials that were not percent-encoded may stand
// where a bucket, its port or a path was parsed.
func misread(u *url.URL) bool {
	return strings.Contains(u.EscapedPath(), "@") || u.User == nil && u.Port() != ""
}

func sourceURL(raw string) SourceURL {
	return SourceURL{reveal: func() string { return raw }}
}

// IsZero tells whether there is no URL.
func (s SourceURL) IsZero() bool { return s.reveal == nil }

// URL is the URL as it was given.
func (s SourceURL) URL() (string, error) {
	if s.IsZero() {
		return "", transport.Invalid(pkg, "SourceURL", "must not be empty")
	}
	return s.reveal(), nil
}

// String is the URL without user info and the values of its parameters.
func (s SourceURL) String() string {
	if s.IsZero() {
		return ""
	}
	u, err := url.Parse(s.reveal())
	if err != nil || u.Host == "" || misread(u) {
		return auth.Redacted
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		shown += auth.Redacted + "@"
	}
	shown += u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		shown += "?" + auth.Redacted
	}
	return shown
}

// Format implements fmt.Formatter, so that every verb shows String.
func (s SourceURL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s SourceURL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the credentials out of JSON.
func (s SourceURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s SourceURL) secrets() []string {
	if s.IsZero() {
		return nil
	}
	raw := s.reveal()
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

// allSecrets are what no error or log may show of a source: its URL, and the
// credentials in it as they are and percent-encoded.
func allSecrets(s Source, url string) []string {
	all := []string{url}
	for _, secret := range s.secrets() {
		if secret != "" && secret != anonymous {
			all = append(all, secret, escape(secret))
		}
	}
	return all
}

// sourceInText finds source URLs in what the service says, in JSON too.
var sourceInText = regexp.MustCompile(`(?i)\b(?:s3|steam|gs|cos):\\?/\\?/[^\s"'<>]+`)

// withoutSources is text without the credentials of the source URLs in it. The
// call that gave them to the service redacts them itself, later calls do not
// know them any more.
func withoutSources(text string) string {
	if text == "" { // as for most jobs
		return ""
	}
	return sourceInText.ReplaceAllStringFunc(text, func(url string) string { return sourceURL(url).String() })
}

// escape percent-encodes everything but letters, digits and "-_.~", so that the
// result means the same wherever in a URL it stands.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func redacted(secret string) string {
	if secret == "" {
		return ""
	}
	return auth.Redacted
}

// parameters are the URL's own, which are encoded as credentials are: a "+"
// would not be a space to every reader.
func parameters(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

func transferQuery(handlers int, timeout time.Duration) url.Values {
	q := url.Values{}
	if handlers != 0 {
		q.Set("handlers", strconv.Itoa(handlers))
	}
	if timeout != 0 {
		q.Set("requesttimeout", seconds(timeout))
	}
	return q
}

// seconds is a duration in the style of the documented default, 2m.
func seconds(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

func setUnlessEmpty(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// folderPath is the folder with each of its segments percent-encoded and one
// slash at its end.
func folderPath(folder string) string {
	folder = strings.Trim(folder, "/")
	if folder == "" {
		return ""
	}
	segments := strings.Split(folder, "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	return strings.Join(segments, "/") + "/"
}

func required(field, value string) error {
	if value == "" {
		return transport.Invalid(pkg, field, "must not be empty")
	}
	return nil
}

func checkBucket(name, bucket string) error {
	if err := required(name+".Bucket", bucket); err != nil {
		return err
	}
	allowed := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if strings.ContainsFunc(bucket, func(r rune) bool { return !allowed(r) }) {
		return transport.Invalid(pkg, name+".Bucket", "must be letters, digits, dots, hyphens and underscores")
	}
	return nil
}

func checkFolder(name, folder string) error {
	for segment := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		if segment == "." || segment == ".." {
			return transport.Invalid(pkg, name+".Folder", "must not have dot segments")
		}
	}
	return nil
}

func checkTransfer(name string, handlers int, timeout time.Duration) error {
	if handlers < 0 {
		return transport.Invalid(pkg, name+".Handlers", "must not be negative")
	}
	if timeout < 0 || timeout%time.Second != 0 {
		return transport.Invalid(pkg, name+".RequestTimeout", "must be whole seconds, not %s", timeout)
	}
	return nil
}
