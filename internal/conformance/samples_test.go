package conformance

import (
	"context"
	"errors"
	"go/ast"
	"go/token"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// sample is how an exported type is searched for secrets: in values that hold some, or, for a type that is said to hold
// none, by a look at its fields.
type sample struct {
	filled []any
	plain  reflect.Type
}

func filled(values ...any) sample { return sample{filled: values} }

func plain[T any]() sample { return sample{plain: reflect.TypeFor[T]()} }

// samples has every exported type of the clients.
func samples(t *testing.T) map[string]sample {
	t.Helper()
	all := map[string]sample{}
	maps.Copy(all, oracleSamples(t))
	maps.Copy(all, replicatorSamples(t))
	maps.Copy(all, multiplaySamples(t))
	return all
}

func oracleSamples(t *testing.T) map[string]sample {
	t.Helper()
	tokens := func(context.Context) (oraclemarket.Token, error) { return oraclemarket.Token{Value: tokenValue}, nil }
	sources := []any{
		oraclemarket.StaticToken(tokenValue), oraclemarket.ClientCredentials(keyID, keySecret),
		oraclemarket.OAMClientCredentials("https://login.example/token", "domain", keyID, keySecret),
	}
	client, err := oraclemarket.New("partner@example.com", oraclemarket.ClientCredentials(keyID, keySecret))
	require.NoError(t, err)
	used := &env{base: pipeBase, client: echo(400, "application/json"), retry: true}
	static, err := used.oracleClient(nil)
	require.NoError(t, err)
	_, failed := static.MachineImages.Delete(t.Context(), 7) // so that the token is in the cache
	require.Error(t, failed)
	return map[string]sample{
		"oraclemarket.Token":                        filled(oraclemarket.Token{Value: tokenValue}, &oraclemarket.Token{Value: tokenValue}),
		"oraclemarket.TokenSource":                  filled(sources...),
		"oraclemarket.TokenSourceFunc":              filled(oraclemarket.TokenSourceFunc(tokens)),
		"oraclemarket.Client":                       filled(client, *client, static, *static),
		"oraclemarket.MachineImagesService":         filled(client.MachineImages, *client.MachineImages, *static.MachineImages),
		"oraclemarket.StorageImagesService":         filled(client.StorageImages, *client.StorageImages, *static.StorageImages),
		"oraclemarket.Error":                        filled(errorsOf[*oraclemarket.Error](t, "oraclemarket")...),
		"oraclemarket.Option":                       filled(oraclemarket.WithUserAgent("a")),
		"oraclemarket.WaitOption":                   filled(oraclemarket.WithPollInterval(0, 0)),
		"oraclemarket.CheckpointStore":              filled(oraclemarket.FileCheckpoints("dir")),
		"oraclemarket.CheckpointLocker":             filled(oraclemarket.FileCheckpoints("dir")),
		"oraclemarket.StateError":                   plain[oraclemarket.StateError](),
		"oraclemarket.MachineImageUploadRequest":    plain[oraclemarket.MachineImageUploadRequest](),
		"oraclemarket.DataCenterImageUploadRequest": plain[oraclemarket.DataCenterImageUploadRequest](),
		"oraclemarket.Acknowledgement":              plain[oraclemarket.Acknowledgement](),
		"oraclemarket.CreateMachineImageRequest":    plain[oraclemarket.CreateMachineImageRequest](),
		"oraclemarket.InitiateUploadRequest":        plain[oraclemarket.InitiateUploadRequest](),
		"oraclemarket.Chunk":                        plain[oraclemarket.Chunk](),
		"oraclemarket.ChunkAcknowledgement":         plain[oraclemarket.ChunkAcknowledgement](),
		"oraclemarket.UploadSummary":                plain[oraclemarket.UploadSummary](),
		"oraclemarket.OrderBy":                      plain[oraclemarket.OrderBy](),
		"oraclemarket.SortOrder":                    plain[oraclemarket.SortOrder](),
		"oraclemarket.ListMachineImagesOptions":     plain[oraclemarket.ListMachineImagesOptions](),
		"oraclemarket.MachineImagePage":             plain[oraclemarket.MachineImagePage](),
		"oraclemarket.Page":                         plain[oraclemarket.Page](),
		"oraclemarket.Link":                         plain[oraclemarket.Link](),
		"oraclemarket.Status":                       plain[oraclemarket.Status](),
		"oraclemarket.StorageImage":                 plain[oraclemarket.StorageImage](),
		"oraclemarket.StorageDataCenterImageStatus": plain[oraclemarket.StorageDataCenterImageStatus](),
		"oraclemarket.ListStorageImagesOptions":     plain[oraclemarket.ListStorageImagesOptions](),
		"oraclemarket.CopyStorageImageRequest":      plain[oraclemarket.CopyStorageImageRequest](),
		"oraclemarket.UploadRequest":                plain[oraclemarket.UploadRequest](),
		"oraclemarket.UploadProgress":               plain[oraclemarket.UploadProgress](),
	}
}

// provider is a client of another library. How it prints is not ours to say, so that it prints nothing here.
type provider struct{ token func() string }

func (p provider) Token() string { return p.token() }

func replicatorSamples(t *testing.T) map[string]sample {
	t.Helper()
	tokens := func(context.Context) (imagereplicator.Token, error) {
		return imagereplicator.Token{Value: tokenValue}, nil
	}
	other := provider{func() string { return tokenValue }}
	used := &env{base: pipeBase, client: echo(200, "application/json"), retry: true}
	client, err := used.replicatorClient()
	require.NoError(t, err)
	_, failed := client.Jobs.Get(t.Context(), "job")
	require.Error(t, failed)
	var options keystone.Options
	fill(reflect.ValueOf(&options).Elem())
	require.NotEmpty(t, leak(options.Auth.Password+options.APISecret))
	return map[string]sample{
		"imagereplicator.Token":            filled(imagereplicator.Token{Value: tokenValue}, &imagereplicator.Token{Value: tokenValue}),
		"imagereplicator.TokenSource":      filled(imagereplicator.StaticToken(tokenValue), imagereplicator.ProviderTokens(other)),
		"imagereplicator.TokenSourceFunc":  filled(imagereplicator.TokenSourceFunc(tokens)),
		"imagereplicator.Provider":         filled(other),
		"imagereplicator.Client":           filled(client, *client),
		"imagereplicator.JobsService":      filled(client.Jobs, *client.Jobs),
		"imagereplicator.Error":            filled(errorsOf[*imagereplicator.Error](t, "imagereplicator", "keystone")...),
		"imagereplicator.Option":           filled(imagereplicator.WithUserAgent("a")),
		"imagereplicator.WaitOption":       filled(imagereplicator.WithPollInterval(0, 0)),
		"imagereplicator.StateError":       plain[imagereplicator.StateError](),
		"imagereplicator.Status":           plain[imagereplicator.Status](),
		"imagereplicator.Job":              plain[imagereplicator.Job](),
		"imagereplicator.CreateJobRequest": plain[imagereplicator.CreateJobRequest](),
		"keystone.Options":                 filled(options, &options),
	}
}

// sources are all kinds of source, full of secrets.
func sources(t *testing.T) []multiplay.Source {
	t.Helper()
	url, err := multiplay.ParseSourceURL("s3://" + mark + ":" + mark + "%2F@bucket/folder/?region=eu&betapassword=" + mark)
	require.NoError(t, err)
	return []multiplay.Source{
		source(),
		multiplay.SteamSource{User: sourceField, Password: sourceField, AppID: 1, GuardCode: sourceField, BetaPassword: sourceField},
		multiplay.GoogleStorageSource{Bucket: "bucket", CredentialsJSON: []byte(`{"private_key":"` + mark + `\n"}`)},
		url,
	}
}

func multiplaySamples(t *testing.T) map[string]sample {
	t.Helper()
	client, err := multiplay.New(1, keyID, keySecret)
	require.NoError(t, err)
	var anySource, updates, releases, options []any
	for _, s := range sources(t) {
		pointer := reflect.New(reflect.TypeOf(s))
		pointer.Elem().Set(reflect.ValueOf(s))
		anySource = append(anySource, s, pointer.Interface())
		update := multiplay.CreateImageUpdateRequest{Source: s}
		release := multiplay.ReleaseRequest{Source: s}
		updates, releases = append(updates, update, &update), append(releases, release, &release)
	}
	url, ok := anySource[len(anySource)-2].(multiplay.SourceURL)
	require.True(t, ok)
	options = append(options, multiplay.ImageOptions{UpdateURL: url}, &multiplay.ImageOptions{UpdateURL: url})
	return map[string]sample{
		"multiplay.Client":                    filled(client, *client),
		"multiplay.ImageDiffsService":         filled(client.ImageDiffs, *client.ImageDiffs),
		"multiplay.ImageInstallsService":      filled(client.ImageInstalls, *client.ImageInstalls),
		"multiplay.ImagesService":             filled(client.Images, *client.Images),
		"multiplay.ImageUpdatesService":       filled(client.ImageUpdates, *client.ImageUpdates),
		"multiplay.ImageVersionsService":      filled(client.ImageVersions, *client.ImageVersions),
		"multiplay.Error":                     filled(errorsOf[*multiplay.Error](t, "multiplay")...),
		"multiplay.ImageLockedError":          filled(errorsOf[*multiplay.ImageLockedError](t, "multiplay")...),
		"multiplay.ReleaseError":              filled(errorsOf[*multiplay.ReleaseError](t, "multiplay")...),
		"multiplay.Source":                    filled(anySource...),
		"multiplay.S3Source":                  filled(anySource[0:2]...),
		"multiplay.SteamSource":               filled(anySource[2:4]...),
		"multiplay.GoogleStorageSource":       filled(anySource[4:6]...),
		"multiplay.SourceURL":                 filled(anySource[6:8]...),
		"multiplay.CreateImageUpdateRequest":  filled(updates...),
		"multiplay.ReleaseRequest":            filled(releases...),
		"multiplay.ImageOptions":              filled(options...),
		"multiplay.Option":                    filled(multiplay.WithUserAgent("a")),
		"multiplay.WaitOption":                filled(multiplay.WithPollInterval(0, 0)),
		"multiplay.StateError":                plain[multiplay.StateError](),
		"multiplay.ImageDiffStatus":           plain[multiplay.ImageDiffStatus](),
		"multiplay.CreateImageDiffRequest":    plain[multiplay.CreateImageDiffRequest](),
		"multiplay.ImageDiffStatusOptions":    plain[multiplay.ImageDiffStatusOptions](),
		"multiplay.RejectImageDiffOptions":    plain[multiplay.RejectImageDiffOptions](),
		"multiplay.ImageDiffRejection":        plain[multiplay.ImageDiffRejection](),
		"multiplay.ImageInstall":              plain[multiplay.ImageInstall](),
		"multiplay.QueueImageInstallRequest":  plain[multiplay.QueueImageInstallRequest](),
		"multiplay.QueuedImageInstall":        plain[multiplay.QueuedImageInstall](),
		"multiplay.ImageOptionsRequest":       plain[multiplay.ImageOptionsRequest](),
		"multiplay.GameOption":                plain[multiplay.GameOption](),
		"multiplay.ImageOption":               plain[multiplay.ImageOption](),
		"multiplay.MachineOption":             plain[multiplay.MachineOption](),
		"multiplay.Image":                     plain[multiplay.Image](),
		"multiplay.MachineCounts":             plain[multiplay.MachineCounts](),
		"multiplay.RolloutStatus":             plain[multiplay.RolloutStatus](),
		"multiplay.FleetRollout":              plain[multiplay.FleetRollout](),
		"multiplay.RegionRollout":             plain[multiplay.RegionRollout](),
		"multiplay.RolloutStatusOptions":      plain[multiplay.RolloutStatusOptions](),
		"multiplay.RolloutError":              plain[multiplay.RolloutError](),
		"multiplay.ImageUpdateStatus":         plain[multiplay.ImageUpdateStatus](),
		"multiplay.ImageVersionStatus":        plain[multiplay.ImageVersionStatus](),
		"multiplay.CreateImageVersionRequest": plain[multiplay.CreateImageVersionRequest](),
		"multiplay.JobState":                  plain[multiplay.JobState](),
		"multiplay.Job":                       plain[multiplay.Job](),
		"multiplay.ReleaseStep":               plain[multiplay.ReleaseStep](),
		"multiplay.ReleaseIDs":                plain[multiplay.ReleaseIDs](),
		"multiplay.ReleaseEvent":              plain[multiplay.ReleaseEvent](),
		"multiplay.ReleaseResult":             plain[multiplay.ReleaseResult](),
	}
}

// fill puts a secret into every string that can be set.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(keySecret)
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				fill(f)
			}
		}
	case reflect.Pointer:
		if v.IsNil() && v.Type().Elem().Kind() == reflect.Struct && v.Type() != reflect.TypeFor[*http.Client]() {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		}
	default:
	}
}

// Every exported type, printed in every way: no secret shows.
func TestExportedTypesHideSecrets(t *testing.T) {
	all := samples(t)
	var found []string
	for pkg, dir := range packages() {
		for _, d := range declarations(t, dir) {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
					found = append(found, pkg+"."+s.Name.Name)
				}
			}
		}
	}
	slices.Sort(found)
	require.Equal(t, found, slices.Sorted(maps.Keys(all)), "each exported type has a sample")

	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			for _, v := range s.filled {
				requireNoSecret(t, v)
			}
			if s.plain != nil {
				require.Empty(t, suspicious(s.plain, nil))
			} else {
				require.NotEmpty(t, s.filled)
			}
		})
	}
}

var secretName = regexp.MustCompile(`(?i)secret|token|passw|credential|auth|key$|url$`)

// suspicious names a field of a type that is said to hold no secret, but by its name or type might.
func suspicious(of reflect.Type, seen []reflect.Type) string {
	secret := []reflect.Type{
		reflect.TypeFor[oraclemarket.Token](), reflect.TypeFor[imagereplicator.Token](), reflect.TypeFor[keystone.Options](),
		reflect.TypeFor[multiplay.Source](), reflect.TypeFor[multiplay.SourceURL](),
		reflect.TypeFor[oraclemarket.TokenSource](), reflect.TypeFor[imagereplicator.TokenSource](),
	}
	if slices.Contains(secret, of) {
		return of.String()
	}
	if slices.Contains(seen, of) {
		return ""
	}
	seen = append(seen, of)
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		return suspicious(of.Elem(), seen)
	case reflect.Struct:
		if !strings.HasPrefix(of.PkgPath(), "github.com/imagejobs/") {
			return ""
		}
		for f := range of.Fields() {
			if secretName.MatchString(f.Name) {
				return of.String() + "." + f.Name
			}
			if found := suspicious(f.Type, seen); found != "" {
				return of.String() + "." + f.Name + ": " + found
			}
		}
	default:
	}
	return ""
}

// echo answers with all that it was sent.
func echo(status int, contentType string) *http.Client {
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) { return repeat(r, status, contentType), nil })
	return &http.Client{Transport: mock}
}

// Every operation against a service that repeats whatever it was sent, in every place of an answer: neither the error
// nor the log shows a secret.
func TestEchoedSecretsAreHidden(t *testing.T) {
	for i, o := range operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			all := echoes()
			for j, name := range slices.Sorted(maps.Keys(all)) {
				if leftOut(i, j) {
					continue
				}
				client := all[name]
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						log, err := provoke(t, o, client)
						require.NotEmpty(t, log)
						require.Empty(t, leak(log))
						if err != nil {
							requireNoSecret(t, err)
						}
					})
				})
			}
		})
	}
}

// errorsOf are a few errors of type E that operations of the packages give when a service repeats what it was sent. What
// all of them give is TestEchoedSecretsAreHidden's.
func errorsOf[E error](t *testing.T, pkgs ...string) []any {
	t.Helper()
	var found []any
	all := echoes()
	for _, o := range operations() {
		if len(found) >= 4 {
			break
		}
		if !slices.Contains(pkgs, o.pkg) || o.class != once && !o.login && o.pkg != "keystone" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			for _, name := range []string{"400 JSON", "locked"} {
				_, err := provoke(t, o, all[name])
				if e, ok := errors.AsType[E](err); ok {
					found = append(found, e, reflect.ValueOf(e).Elem().Interface())
				}
			}
		})
	}
	return found
}

// A job says why it failed long after the call that gave its source to the service, which may repeat that source.
func TestLaterAnswersHideSources(t *testing.T) {
	for _, url := range []string{
		"s3://" + mark + ":" + mark + "%2F@bucket/folder/?region=eu", "gs://bucket/folder?credentials=%7B" + mark + "%7D", "steam://" + mark + ":" + mark + "@install/1/?guardcode=" + mark,
	} {
		reason := "could not fetch " + url + ", twice"
		failed := strings.NewReplacer("Completed", "Failed", `"jobstateid":5`, `"jobstateid":6,"joberror":"`+reason+`"`).Replace(good("ImageUpdates.Status"))
		for _, f := range []emulator.Fault{
			{Body: failed},
			{Body: `{"success":false,"error_message":"` + reason + `"}`},
			{Status: http.StatusForbidden, Body: reason},
			{Status: http.StatusForbidden, Body: `{"error_message":"` + strings.ReplaceAll(reason, "/", `\/`) + `"}`},
		} {
			synctest.Test(t, func(t *testing.T) {
				s, _, e := inMemory(t)
				c, err := e.multiplayClient()
				require.NoError(t, err)
				f.Operation = "ImageUpdates.Status"
				s.Inject(f)
				status, err := c.ImageUpdates.Wait(t.Context(), 7)
				require.ErrorContains(t, err, "could not fetch "+url[:strings.IndexByte(url, ':')])
				requireNoSecret(t, err)
				requireNoSecret(t, status)
			})
		}
	}
}
