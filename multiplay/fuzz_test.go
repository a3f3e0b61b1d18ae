package multiplay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// FuzzJob decodes statuses: what decodes must survive another round.
func FuzzJob(f *testing.F) {
	for _, seed := range []string{
		`{"jobprogress":40,"jobstateid":4,"jobstart":"1700000010","joberror":null,"jobeta":1700000120,"jobfailed":0,"success":true,"jobcreated":1700000000,"updateid":4711,"jobupdated":1700000050,"jobstatename":"Running"}`,
		`{"jobstateid":"5","jobstart":"","jobstatename":"Complete","diffid":1,"added":[],"modified":{"a":{}},"removed":null,"game":{}}`,
		`{"installs":[{"jobid":"1","mirror":[],"machine":{},"install_at":"NOW()","restart":"1","target_imageversionid":null}]}`,
		`{"pending_machines":"1","fleets":{"a":{"regions":{"b":{"name":1}}}}}`,
		`{"image":{"imageid":1,"active":"0","created_at":"2023-11-14 22:13:20"}}`,
		`{"installs_squashed":[1],"machinejobid":7,"uninstalljobid":"8"}`,
		`{"update_url":"s3://a:b@c","games":[{"gameid":1}],"diffid":null}`,
		`{"jobcreated":1e300,"jobstart":-1,"jobprogress":99.5}`, `{}`, `null`, `[]`, `""`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		client, mock := mockClient(t, multiplay.WithRetry(1, 0, 0))
		mock.RegisterNoResponder(httpmock.NewBytesResponder(http.StatusOK, data))
		update, err := client.ImageUpdates.Status(t.Context(), 4711)
		again(t, update, err)
		diff, err := client.ImageDiffs.Status(t.Context(), 1, &multiplay.ImageDiffStatusOptions{Info: true})
		again(t, diff, err)
		rejection, err := client.ImageDiffs.Reject(t.Context(), 1, nil)
		again(t, rejection, err)
		version, err := client.ImageVersions.Status(t.Context(), 1)
		again(t, version, err)
		installs, err := client.ImageInstalls.List(t.Context())
		again(t, installs, err)
		queued, err := client.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: 1})
		again(t, queued, err)
		image, err := client.Images.SetActive(t.Context(), 1, true)
		again(t, image, err)
		rollout, err := client.Images.RolloutStatus(t.Context(), 1, nil)
		again(t, rollout, err)
		options, err := client.Images.Options(t.Context(), nil)
		if err == nil {
			options.UpdateURL = multiplay.SourceURL{} // a secret is not stored
		}
		again(t, options, err)
	})
}

func again[T any](t *testing.T, first T, err error) {
	t.Helper()
	if err != nil {
		require.ErrorAs(t, err, new(*multiplay.Error))
		return
	}
	second := roundTrip(t, first)
	require.Equal(t, second, roundTrip(t, second))
}

// FuzzSourceURL builds sources of any credentials: decoding twice must give
// them back, and nothing printed may show them.
func FuzzSourceURL(f *testing.F) {
	f.Add("AKIAEXAMPLE", "se/cr@t:of%the+suite?#", "server/42", `{"a":"b"}`)
	f.Add("ключ", " ü é€ \x00\x7f", "a b/../c", "[]")
	f.Add("a:b", "%2F%zz", "/", "null")
	f.Fuzz(func(t *testing.T, access, secret, folder, credentials string) {
		s3 := multiplay.S3Source{AccessKey: multiplay.NewSecret(access), SecretKey: multiplay.NewSecret(secret), Bucket: "bucket", Folder: folder}
		if raw, err := sent(t, s3); err == nil {
			u := arrive(t, raw)
			password, _ := u.User.Password()
			require.Equal(t, []string{access, secret, "bucket"}, []string{u.User.Username(), password, u.Host})
		}
		steam := multiplay.SteamSource{User: access, Password: multiplay.NewSecret(secret), AppID: 740, BetaPassword: multiplay.NewSecret(folder)}
		if raw, err := sent(t, steam); err == nil && access != "" {
			u := arrive(t, raw)
			password, _ := u.User.Password()
			require.Equal(t, []string{access, secret, folder}, []string{u.User.Username(), password, u.Query().Get("betapassword")})
		}
		google := multiplay.GoogleStorageSource{Bucket: "bucket", Folder: folder, CredentialsJSON: multiplay.NewSecret(credentials)}
		if raw, err := sent(t, google); err == nil {
			require.Equal(t, credentials, arrive(t, raw).Query().Get("credentials"))
		}
	})
}

// arrive returns the URL that a service makes of the query parameter.
func arrive(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	parsed, err := multiplay.ParseSourceURL(raw)
	require.NoError(t, err)
	require.Equal(t, raw, parsed.Reveal())
	return u
}

// FuzzParseSourceURL takes any URL: what it accepts goes out as it is, and is
// not printed.
func FuzzParseSourceURL(f *testing.F) {
	for _, seed := range []string{
		"s3://key:SECRET@bucket/folder/?region=eu-west-1", "gs://bucket/folder?credentials=%7BSECRET%7D", "s3://key:1/SECRET@bucket",
		"steam://anonymous:@install/740/", "s3://[::1]:SECRET@x", "cos:SECRET", "s3://a:b%2FSECRET@c", "s3://@SECRET:1/", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		source, err := multiplay.ParseSourceURL(raw)
		if err != nil {
			require.ErrorIs(t, err, multiplay.ErrInvalidArgument)
			return
		}
		require.Equal(t, raw, source.Reveal())
		require.Equal(t, "REDACTED", fmt.Sprintf("%+v", source))
	})
}

// FuzzEnvelope responds to a call with anything: a body that says no in the way of
// the service must not pass for a yes, and nothing may make the call panic.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[],"error_code":1,"error_message":"image locked by diffid: 218595","_debug":[],"success":false,"error":true}`,
		`{"success":false,"error_message":{"a":1},"messages":"x"}`, `{"error":"text"}`, `{"error":true,"success":true,"jobstatename":"Failed"}`,
		`{"success":"false","updateid":1}`, `{"success":true,"updateid":1,"jobstatename":"Created"}`, `{"updateid":"1"}`, `[]`, `null`, `<html>`,
		`{"success":false,"jobstateid":6,"updateid":1}`,
	} {
		f.Add(200, []byte(seed))
		f.Add(409, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status == 429 {
			return
		}
		client, mock := mockClient(t, multiplay.WithRetry(1, 0, 0))
		mock.RegisterNoResponder(httpmock.NewBytesResponder(status, body))
		update, err := client.ImageUpdates.Retry(t.Context(), 1)
		said := struct {
			Success *bool `json:"success"`
			Error   bool  `json:"error"`
		}{}
		if json.Unmarshal(body, &said) == nil && (said.Error || said.Success != nil && !*said.Success) {
			require.Error(t, err)
		}
		if err == nil {
			require.NotNil(t, update)
			return
		}
		var failed *multiplay.Error
		require.ErrorAs(t, err, &failed)
		require.NotEmpty(t, failed.Error())
		if locked, ok := errors.AsType[*multiplay.ImageLockedError](err); ok {
			require.GreaterOrEqual(t, locked.DiffID, int64(0))
		}
	})
}
