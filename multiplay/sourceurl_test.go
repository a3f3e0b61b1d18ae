package multiplay_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func s3Source() multiplay.S3Source {
	return multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "builds", Folder: "server/42"}
}

func steamSource() multiplay.SteamSource {
	return multiplay.SteamSource{
		User: "steamer", Password: multiplay.NewSecret(steamPass), AppID: 740,
		GuardCode: multiplay.NewSecret(steamGuard), Beta: "next", BetaPassword: multiplay.NewSecret(steamBeta),
	}
}

func googleSource() multiplay.GoogleStorageSource {
	return multiplay.GoogleStorageSource{Bucket: "builds", Folder: "server/42", CredentialsJSON: multiplay.NewSecret(googleToken)}
}

func parsedSource(t *testing.T) multiplay.SourceURL {
	t.Helper()
	raw, err := sent(t, s3Source())
	require.NoError(t, err)
	source, err := multiplay.ParseSourceURL(raw)
	require.NoError(t, err)
	return source
}

// sent returns the URL that goes out for a source.
func sent(t *testing.T, source multiplay.Source) (string, error) {
	t.Helper()
	client, mock := mockClient(t)
	var raw string
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) {
		raw = r.URL.Query().Get("url")
		return respondWith(fixture(t, "update_created.json"))(r)
	})
	_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
		ImageID: 1, MachineID: 2, Description: "x", Source: source,
	})
	return raw, err
}

func TestSourceURLs(t *testing.T) {
	for want, source := range map[string]multiplay.Source{
		"s3://myuser:mypassword@bucket/": multiplay.S3Source{
			AccessKey: multiplay.NewSecret("myuser"), SecretKey: multiplay.NewSecret("mypassword"), Bucket: "bucket",
		},
		"s3://a:b%2Fc%2Bd@bucket/a%20b/c%26d/%C3%A9/?handlers=20&region=us-east-1&requesttimeout=90s": multiplay.S3Source{
			AccessKey: multiplay.NewSecret("a"), SecretKey: multiplay.NewSecret("b/c+d"), Bucket: "bucket", Folder: "/a b/c&d/é/",
			Region: "us-east-1", Handlers: 20, RequestTimeout: 90 * time.Second,
		},
		"steam://anonymous:@install/740/": multiplay.SteamSource{AppID: 740},
		"steam://u%40x:p%20w@install/740/?appmod=cstrike&beta=b&betapassword=p%26q&guardcode=G&platformbitness=64&platformtype=linux": multiplay.SteamSource{
			User: "u@x", Password: multiplay.NewSecret("p w"), AppID: 740, PlatformType: "linux", PlatformBitness: 64,
			GuardCode: multiplay.NewSecret("G"), Beta: "b", BetaPassword: multiplay.NewSecret("p&q"), AppMod: "cstrike",
		},
		"gs://bucket/folder?credentials=%7B%22a%22%3A%20%22b%2Bc%22%7D&requesttimeout=2m": multiplay.GoogleStorageSource{
			Bucket: "bucket", Folder: "folder", CredentialsJSON: multiplay.NewSecret(`{"a": "b+c"}`), RequestTimeout: 2 * time.Minute,
		},
	} {
		got, err := sent(t, source)
		require.NoError(t, err)
		require.Equal(t, want, got)
		parsed, err := multiplay.ParseSourceURL(got)
		require.NoError(t, err)
		require.Equal(t, got, parsed.Reveal())
		again, err := sent(t, parsed)
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
}

func TestSourcesAreChecked(t *testing.T) {
	for field, source := range map[string]multiplay.Source{
		"S3Source.AccessKey":                  multiplay.S3Source{SecretKey: s3SecretKey(), Bucket: "b"},
		"S3Source.SecretKey":                  multiplay.S3Source{AccessKey: s3Key(), Bucket: "b"},
		"S3Source.Bucket":                     multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "key@b"},
		"S3Source.Folder":                     multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "b", Folder: "a/../b"},
		"S3Source.Handlers":                   multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "b", Handlers: -1},
		"S3Source.RequestTimeout":             multiplay.S3Source{AccessKey: s3Key(), SecretKey: s3SecretKey(), Bucket: "b", RequestTimeout: time.Millisecond},
		"SteamSource.AppID":                   multiplay.SteamSource{},
		"SteamSource.Password":                multiplay.SteamSource{AppID: 1, User: "u"},
		"SteamSource.PlatformType":            multiplay.SteamSource{AppID: 1, PlatformType: "beos"},
		"SteamSource.PlatformBitness":         multiplay.SteamSource{AppID: 1, PlatformBitness: 16},
		"GoogleStorageSource.Bucket":          multiplay.GoogleStorageSource{CredentialsJSON: multiplay.NewSecret(googleToken)},
		"GoogleStorageSource.Folder":          multiplay.GoogleStorageSource{Bucket: "b", Folder: "..", CredentialsJSON: multiplay.NewSecret(googleToken)},
		"GoogleStorageSource.CredentialsJSON": multiplay.GoogleStorageSource{Bucket: "b", CredentialsJSON: multiplay.NewSecret("[" + googleToken + "]")},
		"SourceURL":                           multiplay.SourceURL{},
	} {
		got, err := sent(t, source)
		require.Empty(t, got)
		show(err)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.ErrorContains(t, err, "multiplay: "+field+": must ")
	}
	_, err := sent(t, multiplay.SteamSource{AppID: 1, Password: multiplay.NewSecret(steamPass)})
	require.EqualError(t, err, "multiplay: SteamSource.Password: must be empty for the user anonymous")
	_, err = sent(t, multiplay.GoogleStorageSource{Bucket: "b"})
	require.ErrorContains(t, err, "CredentialsJSON: must be a JSON object")
}

func TestParseSourceURLRefuses(t *testing.T) {
	for _, raw := range []string{
		"", "bucket/folder", "s3:", "s3:///folder", "s3://" + s3Access + ":" + s3Secret + "@builds/",
		"s3://" + s3Access + ":a/" + s3Secret, "s3://" + s3Access + ":" + "1/" + url.QueryEscape(s3Secret) + "@builds",
		"s3://" + s3Access + ":1?" + url.QueryEscape(s3Secret) + "@builds", "s3://k:s@builds/#x", "s3://k:s@builds/#",
		"s3://k:%zz@builds/", "s3://k:s@builds/a@b",
	} {
		source, err := multiplay.ParseSourceURL(raw)
		show(err)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument, raw)
		require.True(t, source.IsZero())
	}
}

// What the service could only fail on is found here: a scheme that it does not
// have, a bucket without credentials.
func TestParseSourceURLKnowsTheSchemes(t *testing.T) {
	for raw, want := range map[string]string{
		"foo://k:s@b/f":      "must begin with s3://, steam://, gs:// or cos://",
		"https://x/y":        "must begin with s3://, steam://, gs:// or cos://",
		"file://host/folder": "must begin with s3://, steam://, gs:// or cos://",

		"s3://b":     "must have an access key and a secret key, like s3://key:secret@bucket/folder/",
		"s3://k@b/":  "must have an access key and a secret key, like s3://key:secret@bucket/folder/",
		"s3://k:@b/": "must have an access key and a secret key, like s3://key:secret@bucket/folder/",
		"s3://:s@b/": "must have an access key and a secret key, like s3://key:secret@bucket/folder/",

		"gs://b/f":              "must have credentials, like gs://bucket/folder?credentials=%7B…%7D",
		"gs://b/f?credentials=": "must have credentials, like gs://bucket/folder?credentials=%7B…%7D",
		"gs://b/f?handlers=1":   "must have credentials, like gs://bucket/folder?credentials=%7B…%7D",

		"steam://install/740/":            "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://u:@install/740/":         "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://anonymous:@install/":     "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://anonymous:@install/x/":   "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://anonymous:@install/0/":   "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://anonymous:@install/7/40": "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
		"steam://anonymous:@run/740/":     "must have a user, anonymous or with a password, and an app id, like steam://anonymous:@install/740/",
	} {
		source, err := multiplay.ParseSourceURL(raw)
		require.EqualError(t, err, "multiplay: ParseSourceURL: "+want, raw)
		require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
		require.True(t, source.IsZero())
	}
	for _, raw := range []string{
		"S3://k:s@b", "s3://k:s@b/folder/?region=us-east-1", "gs://b?credentials=%7B%7D", "steam://anonymous@install/740", "steam://u:p@install/740/?beta=x",
		"cos://whatever/it?takes=1",
	} {
		_, err := multiplay.ParseSourceURL(raw)
		require.NoError(t, err, raw)
	}
}

// What arrives, decoded as a query and then as a URL, are the credentials as
// they were given.
func TestSourcesArriveWhole(t *testing.T) {
	server := multiplaytest.NewServer(multiplaytest.WithJobTime(0)) // a running update locks the image
	t.Cleanup(server.Close)
	client := server.Client(multiplay.WithLogger(logger()))
	arrived := func(source multiplay.Source) *url.URL {
		_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
			ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "x", Source: source,
		})
		require.NoError(t, err)
		updates := server.Updates()
		u, err := url.Parse(updates[len(updates)-1].SourceURL) // decoded once, as a query
		require.NoError(t, err)
		return u
	}
	for _, source := range []multiplay.Source{s3Source(), parsedSource(t)} {
		u := arrived(source)
		password, _ := u.User.Password()
		require.Equal(t, []string{"s3", s3Access, s3Secret, "builds", "/server/42/"}, []string{u.Scheme, u.User.Username(), password, u.Host, u.Path})
	}
	u := arrived(steamSource())
	password, _ := u.User.Password()
	require.Equal(t, []string{"steamer", steamPass, "install", "/740/"}, []string{u.User.Username(), password, u.Host, u.Path})
	require.Equal(t, url.Values{"guardcode": {steamGuard}, "beta": {"next"}, "betapassword": {steamBeta}}, u.Query())
	require.Equal(t, googleToken, arrived(googleSource()).Query().Get("credentials"))

	// On the wire all that is special is encoded twice.
	first := server.Requests()[0].RawQuery
	require.Contains(t, first, url.QueryEscape(strings.ReplaceAll(url.QueryEscape(s3Secret), "+", "%20")))
	require.NotContains(t, first, "+")
}

// A later call does not know what was sent, but finds any source in a text.
func TestSourcesInReasonsAreRedacted(t *testing.T) {
	for _, scheme := range []string{"s3", "steam", "gs", "cos", "COS"} {
		client, mock := mockClient(t)
		mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/5/status",
			respondWith(`{"jobstateid":6,"joberror":"cannot read `+scheme+`://`+url.UserPassword("key", s3Secret).String()+`@builds/x?token=`+steamPass+`"}`))
		status, err := client.ImageUpdates.Status(t.Context(), 5)
		require.NoError(t, err)
		require.Equal(t, "cannot read "+strings.ToLower(scheme)+"://REDACTED", strings.ToLower(status.Error[:len(status.Error)-8])+"REDACTED")
		require.Empty(t, leaks(status.Error), scheme)
	}
}

// A service or proxy may repeat what it was sent, in any spelling.
func TestRepeatedSecretsAreRedacted(t *testing.T) {
	for i, source := range []multiplay.Source{s3Source(), steamSource(), googleSource(), parsedSource(t)} {
		raw, err := sent(t, source)
		require.NoError(t, err)
		parsed, err := url.Parse(raw)
		require.NoError(t, err)
		password, _ := parsed.User.Password()
		spellings := []string{
			raw, password + parsed.RawQuery, url.QueryEscape(raw), strings.ReplaceAll(raw, "/", `\/`), strings.ReplaceAll(password, "/", `\/`),
			fmt.Sprintf("%q", password), url.QueryEscape(password), // and where texts are cut:
			strings.Repeat("x", 8185) + raw, strings.Repeat("x", 490) + raw, strings.Repeat("x", 75) + raw,
		}
		if i > 0 {
			spellings = spellings[1:2]
		}
		for _, said := range spellings {
			for _, respond := range []httpmock.Responder{
				respondWith(`{"success":false,"error_message":` + fmt.Sprintf("%q", said) + `}`),
				respondWith(said),
				httpmock.NewStringResponder(http.StatusBadRequest, said),
				httpmock.NewStringResponder(http.StatusBadGateway, "<p>"+said+"</p>"),
				httpmock.NewStringResponder(http.StatusFound, "").HeaderSet(http.Header{"Location": {"/?" + url.QueryEscape(said)}}),
				httpmock.NewErrorResponder(&url.Error{Op: "Get", URL: said, Err: errors.New("refused")}),
				httpmock.NewErrorResponder(errors.New("no way to " + said)),
			} {
				client, mock := mockClient(t)
				mock.RegisterResponder("GET", base+"/cfp/v1/imageupdate/create", respond)
				_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
					ImageID: 1, MachineID: 2, Description: "x", Source: source,
				})
				failed := requireAs[*multiplay.Error](t, err)
				require.Empty(t, leaks(failed.Error()+failed.Body+fmt.Sprintf("%+v", *failed)), said)
			}
		}
	}
}
