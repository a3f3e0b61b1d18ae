package conformance

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// samples has every exported type.
func samples(t *testing.T) table {
	t.Helper()
	all := table{}
	oracleSamples(t, all)
	replicatorSamples(t, all)
	multiplaySamples(t, all)
	testServerSamples(t, all)
	return all
}

var noTime time.Time

// copied returns what pointer points to. Such a copy is of use for nothing but to
// be printed.
func copied(pointer any) any { return reflect.ValueOf(pointer).Elem().Interface() }

func oracleSamples(t *testing.T, all table) {
	t.Helper()
	tokens := func(context.Context) (oraclemarket.Token, error) {
		return oraclemarket.NewToken(tokenValue, noTime), nil
	}
	sources := []any{
		oraclemarket.StaticToken(tokenValue), oraclemarket.ClientCredentials(keyID, keySecret),
		oraclemarket.OAMClientCredentials("https://login.example/token", "domain", keyID, keySecret),
	}
	client, err := oraclemarket.New("partner@example.com", oraclemarket.ClientCredentials(keyID, keySecret))
	require.NoError(t, err)
	used := &env{base: pipeBase, client: echo(400, "application/json"), retry: true}
	static, err := used.oracleClient(nil)
	require.NoError(t, err)
	_, failed := static.MachineImages.DeleteEverywhere(t.Context(), 7) // so that the token is in the cache
	require.Error(t, failed)

	given[oraclemarket.TokenSource](all, sources...)
	given[oraclemarket.TokenSourceFunc](all, oraclemarket.TokenSourceFunc(tokens))
	given[oraclemarket.Client](all, copied(client), copied(static))
	given[oraclemarket.MachineImagesService](all, copied(client.MachineImages), copied(static.MachineImages))
	given[oraclemarket.StorageImagesService](all, copied(client.StorageImages), copied(static.StorageImages))
	given[oraclemarket.Error](all, errorsOf[*oraclemarket.Error](t, "oraclemarket")...)
	given[oraclemarket.UploadError](all, uploadError(t))
	given[oraclemarket.Option](all, oraclemarket.WithUserAgent("a"))
	given[oraclemarket.WaitOption](all, oraclemarket.WithPollInterval(0, 0))
	given[oraclemarket.CheckpointStore](all, oraclemarket.FileCheckpoints("dir"))
	given[oraclemarket.CheckpointLocker](all, oraclemarket.FileCheckpoints("dir"))
	plain[oraclemarket.Token](all)
	plain[oraclemarket.ArgumentError](all)
	plain[oraclemarket.Attempt](all)
	plain[oraclemarket.FileCheckpointStore](all)
	plain[oraclemarket.SourceChangedError](all)
	plain[oraclemarket.StateError](all)
	plain[oraclemarket.MachineImageUploadRequest](all)
	plain[oraclemarket.DataCenterImageUploadRequest](all)
	plain[oraclemarket.Acknowledgement](all)
	plain[oraclemarket.CreateMachineImageRequest](all)
	plain[oraclemarket.InitiateUploadRequest](all)
	plain[oraclemarket.Chunk](all)
	plain[oraclemarket.ChunkAcknowledgement](all)
	plain[oraclemarket.UploadSummary](all)
	plain[oraclemarket.OrderBy](all)
	plain[oraclemarket.SortOrder](all)
	plain[oraclemarket.ListMachineImagesOptions](all)
	plain[oraclemarket.MachineImagePage](all)
	plain[oraclemarket.Page](all)
	plain[oraclemarket.Percent](all)
	plain[oraclemarket.Link](all)
	plain[oraclemarket.Status](all)
	plain[oraclemarket.StorageImage](all)
	plain[oraclemarket.StorageDataCenterImageStatus](all)
	plain[oraclemarket.ListStorageImagesOptions](all)
	plain[oraclemarket.CopyStorageImageRequest](all)
	plain[oraclemarket.ImageUpload](all)
	plain[oraclemarket.UploadProgress](all)
	plain[oraclemarket.ChunkRange](all)
	plain[oraclemarket.UploadedRange](all)
}

// uploadError returns the error of an upload whose chunks a service refuses
// with all that it was sent.
func uploadError(t *testing.T) *oraclemarket.UploadError {
	t.Helper()
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/chunk") {
			return repeat(r, http.StatusForbidden, "application/json"), nil
		}
		return httpmock.NewStringResponse(http.StatusOK, good("MachineImages.Create")), nil
	})
	e := &env{base: pipeBase, client: &http.Client{Transport: rt}, retry: true}
	c, err := e.oracleClient(nil)
	require.NoError(t, err)
	_, err = c.MachineImages.Upload(t.Context(), e.imageUpload())
	var failed *oraclemarket.UploadError
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, oraclemarket.ErrForbidden)
	return failed
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// provider is a client of another library. How it prints is not ours to say, so
// that it prints nothing here.
type provider struct{ token func() string }

func (p provider) Token() string { return p.token() }

func replicatorSamples(t *testing.T, all table) {
	t.Helper()
	tokens := func(context.Context) (imagereplicator.Token, error) {
		return imagereplicator.NewToken(tokenValue, noTime), nil
	}
	other := provider{func() string { return tokenValue }}
	used := &env{base: pipeBase, client: echo(200, "application/json"), retry: true}
	client, err := used.replicatorClient()
	require.NoError(t, err)
	_, failed := client.Jobs.Get(t.Context(), "job")
	require.Error(t, failed)
	s, _, e := overSockets(t)
	session, err := keystone.New(t.Context(), e.keystoneOptions())
	require.NoError(t, err)
	require.Equal(t, 1, s.Processed("Tokens.Create"))

	given[imagereplicator.TokenSource](all, imagereplicator.StaticToken(tokenValue), imagereplicator.ProviderTokens(other), session.TokenSource())
	given[imagereplicator.TokenSourceFunc](all, imagereplicator.TokenSourceFunc(tokens))
	given[imagereplicator.Provider](all, other)
	given[imagereplicator.Client](all, copied(client))
	given[imagereplicator.JobsService](all, copied(client.Jobs))
	given[imagereplicator.Error](all, errorsOf[*imagereplicator.Error](t, "imagereplicator", "keystone")...)
	given[imagereplicator.Option](all, imagereplicator.WithUserAgent("a"))
	given[imagereplicator.WaitOption](all, imagereplicator.WithPollInterval(0, 0))
	plain[imagereplicator.Token](all)
	plain[imagereplicator.ArgumentError](all)
	plain[imagereplicator.Attempt](all)
	plain[imagereplicator.StateError](all)
	plain[imagereplicator.Status](all)
	plain[imagereplicator.Job](all)
	plain[imagereplicator.CreateJobRequest](all)
	plain[imagereplicator.CopyOption](all)
	plain[imagereplicator.CopyResult](all)

	given[keystone.Options](all, e.keystoneOptions())
	given[keystone.Credentials](all,
		keystone.APIKey(keyID, keySecret), keystone.ApplicationCredential(keyID, keySecret), keystone.Token(tokenValue),
		keystone.AuthOptions(gophercloud.AuthOptions{Password: keySecret, Passcode: keySecret, TokenID: tokenValue}))
	given[keystone.Session](all, session)
}

func sourceURL() multiplay.SourceURL {
	url, err := multiplay.ParseSourceURL("s3://" + mark + ":" + mark + "%2F@bucket/folder/?region=eu&betapassword=" + mark)
	if err != nil {
		panic(err)
	}
	return url
}

func multiplaySamples(t *testing.T, all table) {
	t.Helper()
	client, err := multiplay.New(multiplay.AccessKey(1, keyID, keySecret))
	require.NoError(t, err)
	used, err := (&env{base: pipeBase, client: echo(400, "application/json"), retry: true}).multiplayClient()
	require.NoError(t, err)
	_, failed := used.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source()})
	require.Error(t, failed) // so that the source was sent
	secret := multiplay.NewSecret(sourceField)
	steam := multiplay.SteamSource{User: "user", Password: secret, AppID: 1, GuardCode: secret, BetaPassword: secret}
	google := multiplay.GoogleStorageSource{Bucket: "bucket", CredentialsJSON: multiplay.NewSecret(`{"private_key":"` + mark + `\n"}`)}
	var updates, releases, options []any
	var kinds []any
	for _, s := range []multiplay.Source{source(), steam, google, sourceURL()} {
		kinds = append(kinds, s)
		updates = append(updates, multiplay.CreateImageUpdateRequest{Source: s})
		releases = append(releases, multiplay.ReleaseRequest{Source: s})
	}
	options = append(options, multiplay.ImageOptions{UpdateURL: sourceURL()})

	given[multiplay.Client](all, copied(client), copied(used))
	given[multiplay.ImageDiffsService](all, copied(client.ImageDiffs), copied(used.ImageDiffs))
	given[multiplay.ImageInstallsService](all, copied(client.ImageInstalls), copied(used.ImageInstalls))
	given[multiplay.ImagesService](all, copied(client.Images), copied(used.Images))
	given[multiplay.ImageUpdatesService](all, copied(client.ImageUpdates), copied(used.ImageUpdates))
	given[multiplay.ImageVersionsService](all, copied(client.ImageVersions), copied(used.ImageVersions))
	given[multiplay.Error](all, errorsOf[*multiplay.Error](t, "multiplay")...)
	given[multiplay.ImageLockedError](all, errorsOf[*multiplay.ImageLockedError](t, "multiplay")...)
	given[multiplay.ReleaseError](all, errorsOf[*multiplay.ReleaseError](t, "multiplay")...)
	given[multiplay.Secret](all, secret)
	given[multiplay.Credentials](all, multiplay.AccessKey(1, keyID, keySecret), multiplay.BearerToken(multiplay.StaticToken(tokenValue)))
	given[multiplay.TokenSource](all, multiplay.StaticToken(tokenValue))
	given[multiplay.TokenSourceFunc](all, multiplay.StaticToken(tokenValue))
	given[multiplay.Source](all, kinds...)
	given[multiplay.SourceURL](all, sourceURL())
	given[multiplay.CreateImageUpdateRequest](all, updates...)
	given[multiplay.ReleaseRequest](all, releases...)
	given[multiplay.ImageOptions](all, options...)
	given[multiplay.Option](all, multiplay.WithUserAgent("a"))
	given[multiplay.WaitOption](all, multiplay.WithPollInterval(0, 0))
	plain[multiplay.S3Source](all)
	plain[multiplay.SteamSource](all)
	plain[multiplay.GoogleStorageSource](all)
	plain[multiplay.Token](all)
	plain[multiplay.InstallMode](all)
	plain[multiplay.RolloutNotStartedError](all)
	plain[multiplay.ArgumentError](all)
	plain[multiplay.Attempt](all)
	plain[multiplay.StateError](all)
	plain[multiplay.ImageDiffStatus](all)
	plain[multiplay.CreateImageDiffRequest](all)
	plain[multiplay.ImageDiffStatusOptions](all)
	plain[multiplay.RejectImageDiffOptions](all)
	plain[multiplay.ImageDiffRejection](all)
	plain[multiplay.ImageInstall](all)
	plain[multiplay.QueueImageInstallRequest](all)
	plain[multiplay.QueuedImageInstall](all)
	plain[multiplay.ImageOptionsRequest](all)
	plain[multiplay.GameOption](all)
	plain[multiplay.ImageOption](all)
	plain[multiplay.MachineOption](all)
	plain[multiplay.Image](all)
	plain[multiplay.MachineCounts](all)
	plain[multiplay.RolloutStatus](all)
	plain[multiplay.FleetRollout](all)
	plain[multiplay.RegionRollout](all)
	plain[multiplay.RolloutStatusOptions](all)
	plain[multiplay.RolloutError](all)
	plain[multiplay.ImageUpdateStatus](all)
	plain[multiplay.ImageVersionStatus](all)
	plain[multiplay.CreateImageVersionRequest](all)
	plain[multiplay.JobState](all)
	plain[multiplay.Job](all)
	plain[multiplay.ReleaseStep](all)
	plain[multiplay.ReleaseIDs](all)
	plain[multiplay.ReleaseEvent](all)
	plain[multiplay.ReleaseResult](all)
}

// testServerSamples has the test servers' types. What they were sent or set to,
// a test may read and print: some of them are there to show it.
func testServerSamples(t *testing.T, all table) {
	t.Helper()
	shown := table{}
	plain[oraclemarkettest.Server](shown)
	plain[oraclemarkettest.Request](shown)
	plain[imagereplicatortest.Server](shown)
	plain[imagereplicatortest.Request](shown)
	plain[multiplaytest.Server](shown)
	plain[multiplaytest.Request](shown)
	plain[multiplaytest.ImageUpdate](shown)
	plain[multiplaytest.Image](shown)
	plain[oraclemarkettest.Upload](shown)
	for name, s := range shown {
		s.plain = false
		shown[name] = s
	}
	maps.Copy(all, shown)

	given[oraclemarkettest.Option](all, oraclemarkettest.WithClientCredentials(keyID, keySecret), oraclemarkettest.WithStaticTokens(tokenValue))
	given[imagereplicatortest.Option](all, imagereplicatortest.WithJobTime(0))
	given[multiplaytest.Option](all, multiplaytest.WithKeys(1, keyID, keySecret), multiplaytest.WithBearerTokens(tokenValue))
	plain[oraclemarkettest.Image](all)
	plain[oraclemarkettest.Dialect](all)
	plain[oraclemarkettest.Fault](all)
	plain[oraclemarkettest.DropPoint](all)
	plain[oraclemarkettest.StallPoint](all)
	plain[oraclemarkettest.Chunk](all)
	plain[oraclemarkettest.Outage](all)
	plain[oraclemarkettest.Part](all)
	plain[oraclemarkettest.Status](all)
	plain[oraclemarkettest.Outcome](all)
	plain[oraclemarkettest.DataCenter](all)
	plain[imagereplicatortest.Fault](all)
	plain[imagereplicatortest.DropPoint](all)
	plain[imagereplicatortest.StallPoint](all)
	plain[imagereplicatortest.Image](all)
	plain[imagereplicatortest.Outage](all)
	plain[multiplaytest.Dialect](all)
	plain[multiplaytest.ErrorStyle](all)
	plain[multiplaytest.Files](all)
	plain[multiplaytest.Fault](all)
	plain[multiplaytest.DropPoint](all)
	plain[multiplaytest.StallPoint](all)
	plain[multiplaytest.Resource](all)
	plain[multiplaytest.Outcome](all)
	plain[multiplaytest.Outage](all)
	plain[multiplaytest.ImageVersion](all)
}
