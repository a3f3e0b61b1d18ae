package multiplay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Source is where an image update fetches its files from: an [S3Source],
// [SteamSource], [GoogleStorageSource] or [SourceURL]. The service takes it,
// with its credentials, in the query of a call.
//
// Source: [Image update create URL parameters].
//
// [Image update create URL parameters]: https://docs.unity.com/en-us/clanforge/api/topics/image-update-create-url-parameters
type Source interface {
	check() error
	// url returns the source as a URL, which is a secret. Credentials are
	// percent-encoded in it once; the query encoder of the call encodes the whole
	// a second time, as the documents ask.
	url() string
	// secrets returns the values that no error or log may show.
	secrets() []string
}

// checkSource checks a source that a request may leave out.
func checkSource(s Source) error {
	if s == nil {
		return nil
	}
	if v := reflect.ValueOf(s); v.Kind() == reflect.Pointer && v.IsNil() {
		return invalid("Source", "must not be a nil pointer")
	}
	return s.check()
}

// S3Source is a folder of an Amazon S3 bucket.
type S3Source struct {
	// AccessKey is the access key of an IAM user. Required. Temporary credentials
	// with a session token do not work.
	AccessKey Secret
	// SecretKey belongs to AccessKey. Required.
	SecretKey Secret
	// Bucket is required.
	Bucket string
	// Folder is the path in the bucket, empty for all of it.
	Folder string
	// Region is the bucket's region; empty means the service's default, eu-west-1.
	Region string
	// Handlers is how many transfers run at once; 0 means the service's default,
	// 10.
	Handlers int
	// RequestTimeout bounds one request to S3, in whole seconds; 0 means the
	// service's default, 2 minutes.
	RequestTimeout time.Duration
}

func (s S3Source) check() error {
	const name = "S3Source"
	return cmp.Or(
		required(name+".AccessKey", s.AccessKey.Reveal()),
		required(name+".SecretKey", s.SecretKey.Reveal()),
		checkBucket(name, s.Bucket),
		checkFolder(name, s.Folder),
		checkTransfer(name, s.Handlers, s.RequestTimeout),
	)
}

// url is s3://<access key>:<secret key>@<bucket>/<folder>/?<parameters>.
func (s S3Source) url() string {
	q := transferQuery(s.Handlers, s.RequestTimeout)
	setUnlessEmpty(q, "region", s.Region)
	return "s3://" + escape(s.AccessKey.Reveal()) + ":" + escape(s.SecretKey.Reveal()) + "@" + s.Bucket + "/" +
		folderPath(s.Folder) + parameters(q)
}

func (s S3Source) secrets() []string { return []string{s.AccessKey.Reveal(), s.SecretKey.Reveal()} }

// SteamSource is a Steam app.
type SteamSource struct {
	// User is a Steam user, "anonymous" by default.
	User string
	// Password is the user's password. Required unless User is anonymous.
	Password Secret
	// AppID is required.
	AppID int64
	// PlatformType is windows, linux or macos; empty means the service's default.
	PlatformType string
	// PlatformBitness is 32 or 64; 0 means the service's default.
	PlatformBitness int
	// GuardCode is a code of Steam Guard. Optional.
	GuardCode Secret
	// Beta is the name of a branch. Optional.
	Beta string
	// BetaPassword is the branch's password. Optional.
	BetaPassword Secret
	// AppMod is the mod of an app that has several. Optional.
	AppMod string
}

const anonymous = "anonymous"

func (s SteamSource) check() error {
	const name = "SteamSource"
	isAnonymous := s.User == "" || s.User == anonymous
	switch {
	case s.AppID <= 0:
		return invalid(name+".AppID", "must be positive")
	case isAnonymous && !s.Password.IsZero():
		return invalid(name+".Password", "must be empty for the user anonymous")
	case !isAnonymous && s.Password.IsZero():
		return invalid(name+".Password", "must not be empty")
	case !slices.Contains([]string{"", "windows", "linux", "macos"}, s.PlatformType):
		return invalid(name+".PlatformType", "must be windows, linux or macos, not %q", s.PlatformType)
	case !slices.Contains([]int{0, 32, 64}, s.PlatformBitness):
		return invalid(name+".PlatformBitness", "must be 32 or 64, not %d", s.PlatformBitness)
	}
	return nil
}

// url is steam://<user>:<password>@install/<appid>/?<parameters>.
func (s SteamSource) url() string {
	q := url.Values{}
	setUnlessEmpty(q, "platformtype", s.PlatformType)
	if s.PlatformBitness != 0 {
		q.Set("platformbitness", strconv.Itoa(s.PlatformBitness))
	}
	setUnlessEmpty(q, "guardcode", s.GuardCode.Reveal())
	setUnlessEmpty(q, "beta", s.Beta)
	setUnlessEmpty(q, "betapassword", s.BetaPassword.Reveal())
	setUnlessEmpty(q, "appmod", s.AppMod)
	return "steam://" + escape(cmp.Or(s.User, anonymous)) + ":" + escape(s.Password.Reveal()) +
		"@install/" + strconv.FormatInt(s.AppID, 10) + "/" + parameters(q)
}

func (s SteamSource) secrets() []string {
	return []string{s.Password.Reveal(), s.GuardCode.Reveal(), s.BetaPassword.Reveal()}
}

// GoogleStorageSource is a folder of a Google Cloud Storage bucket.
type GoogleStorageSource struct {
	// Bucket is required.
	Bucket string
	// Folder is the path in the bucket, empty for all of it.
	Folder string
	// CredentialsJSON is the content of a service account's key file. Required.
	CredentialsJSON Secret
	// Handlers is how many transfers run at once; 0 means the service's default,
	// 10.
	Handlers int
	// RequestTimeout bounds one request to the storage, in whole seconds; 0 means
	// the service's default.
	RequestTimeout time.Duration
}

func (s GoogleStorageSource) check() error {
	const name = "GoogleStorageSource"
	file := bytes.TrimSpace([]byte(s.CredentialsJSON.Reveal()))
	if !json.Valid(file) || file[0] != '{' {
		return invalid(name+".CredentialsJSON", "must be a JSON object")
	}
	return cmp.Or(
		checkBucket(name, s.Bucket),
		checkFolder(name, s.Folder),
		checkTransfer(name, s.Handlers, s.RequestTimeout),
	)
}

// url is gs://<bucket>/<folder>?credentials=<JSON>&<parameters>.
func (s GoogleStorageSource) url() string {
	q := transferQuery(s.Handlers, s.RequestTimeout)
	q.Set("credentials", s.CredentialsJSON.Reveal())
	return "gs://" + s.Bucket + "/" + strings.TrimSuffix(folderPath(s.Folder), "/") + parameters(q)
}

// secrets returns the file and what is secret in it, which a service that has
// parsed it may repeat alone.
func (s GoogleStorageSource) secrets() []string {
	values := []string{s.CredentialsJSON.Reveal()}
	var fields map[string]any
	if json.Unmarshal([]byte(values[0]), &fields) != nil {
		return values
	}
	for _, name := range []string{"private_key", "private_key_id", "client_secret", "refresh_token"} {
		if value, ok := fields[name].(string); ok {
			values = append(values, value)
		}
	}
	return values
}

// escape percent-encodes everything but letters, digits and "-_.~", so that the
// result means the same wherever in a URL it stands.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

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
		return invalid(field, "must not be empty")
	}
	return nil
}

func checkBucket(name, bucket string) error {
	allowed := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if strings.ContainsFunc(bucket, func(r rune) bool { return !allowed(r) }) {
		return invalid(name+".Bucket", "must be letters, digits, dots, hyphens and underscores")
	}
	return required(name+".Bucket", bucket)
}

func checkFolder(name, folder string) error {
	for segment := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		if segment == "." || segment == ".." {
			return invalid(name+".Folder", "must not have dot segments")
		}
	}
	return nil
}

func checkTransfer(name string, handlers int, timeout time.Duration) error {
	if handlers < 0 {
		return invalid(name+".Handlers", "must not be negative")
	}
	if timeout < 0 || timeout%time.Second != 0 {
		return invalid(name+".RequestTimeout", "must be whole seconds, not %s", timeout)
	}
	return nil
}
