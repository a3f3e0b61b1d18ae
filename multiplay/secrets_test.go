package multiplay_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// structs has a value of each exported struct type.
func structs(t *testing.T) []any {
	t.Helper()
	client, _ := mockClient(t)
	return []any{
		*client, *client.ImageUpdates, *client.ImageDiffs, *client.ImageVersions, *client.ImageInstalls, *client.Images,
		multiplay.ArgumentError{}, multiplay.Attempt{}, multiplay.CreateImageDiffRequest{}, multiplay.CreateImageUpdateRequest{},
		multiplay.CreateImageVersionRequest{}, multiplay.Error{}, multiplay.FleetRollout{}, multiplay.GameOption{},
		multiplay.GoogleStorageSource{}, multiplay.Image{}, multiplay.ImageDiffRejection{}, multiplay.ImageDiffStatus{},
		multiplay.ImageDiffStatusOptions{}, multiplay.ImageInstall{}, multiplay.ImageLockedError{}, multiplay.ImageOption{},
		multiplay.ImageOptions{}, multiplay.ImageOptionsRequest{}, multiplay.ImageUpdateStatus{}, multiplay.ImageVersionStatus{},
		multiplay.Job{}, multiplay.MachineCounts{}, multiplay.MachineOption{}, multiplay.QueueImageInstallRequest{},
		multiplay.QueuedImageInstall{}, multiplay.RegionRollout{}, multiplay.RejectImageDiffOptions{}, multiplay.ReleaseError{},
		multiplay.ReleaseEvent{}, multiplay.ReleaseIDs{}, multiplay.ReleaseRequest{}, multiplay.ReleaseResult{},
		multiplay.RolloutError{}, multiplay.RolloutNotStartedError{}, multiplay.RolloutStatus{}, multiplay.RolloutStatusOptions{}, multiplay.S3Source{},
		multiplay.Secret{}, multiplay.SourceURL{}, multiplay.StateError{}, multiplay.SteamSource{}, multiplay.Credentials{}, multiplay.Token{},
	}
}

// exportedStructs has their names, from the source.
func exportedStructs(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.StructType); ok {
					names = append(names, spec.Name.Name)
				}
			}
			return true
		})
	}
	return names
}

// fillSecrets puts a secret wherever one fits into v.
func fillSecrets(t *testing.T, v reflect.Value) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *multiplay.Secret:
		*value = s3SecretKey()
		return
	case *multiplay.SourceURL:
		*value = parsedSource(t)
		return
	case *multiplay.Credentials:
		*value = multiplay.AccessKey(account, accessKey, s3Secret)
		return
	case *multiplay.Token:
		*value = multiplay.NewToken(s3Secret, time.Time{})
		return
	case *multiplay.Source:
		*value = s3Source()
		return
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillSecrets(t, v.Field(i))
			}
		}
	}
}

// render formats, logs and encodes v in each way there is.
func render(v any) string {
	var out bytes.Buffer
	for _, verb := range "vsqxXdTtpbc" {
		fmt.Fprintf(&out, "%"+string(verb)+"\n", v)
	}
	fmt.Fprintf(&out, "%+v\n%#v\n%+q\n% x\n", v, v, v, v)
	_ = json.NewEncoder(&out).Encode(v)
	_ = xml.NewEncoder(&out).Encode(v)
	_ = gob.NewEncoder(&out).Encode(v) // refuses some types, which leaks nothing
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).InfoContext(context.Background(), "shown", "value", v)
	}
	return out.String()
}

type (
	// holder is a user's own struct; fmt calls no methods on unexported fields.
	holder struct {
		Shown  any
		hidden any
	}
	deep struct{ inner holder }
)

func TestNothingShowsASecret(t *testing.T) {
	var names []string
	for _, zero := range structs(t) {
		typ := reflect.TypeOf(zero)
		names = append(names, typ.Name())
		pointer := reflect.New(typ)
		pointer.Elem().Set(reflect.ValueOf(zero))
		fillSecrets(t, pointer.Elem())
		value := pointer.Elem().Interface()
		for _, v := range []any{value, pointer.Interface()} {
			for _, shown := range []any{
				v, []any{v}, map[string]any{"x": v}, holder{v, v}, &holder{v, v}, deep{holder{v, v}}, &deep{holder{v, v}},
			} {
				require.Empty(t, leaks(render(shown)), typ.Name())
			}
		}
	}
	require.ElementsMatch(t, exportedStructs(t), names)
}

// What is shown in place of a secret says that there is one.
func TestSecretsReadRedacted(t *testing.T) {
	for _, source := range []multiplay.Source{s3Source(), steamSource(), googleSource(), parsedSource(t)} {
		for _, v := range []any{
			source, &multiplay.CreateImageUpdateRequest{Source: source}, multiplay.ReleaseRequest{Source: source},
		} {
			require.Contains(t, fmt.Sprintf("%+v", v), "REDACTED")
			data, err := json.Marshal(v)
			require.NoError(t, err)
			require.Contains(t, string(data), "REDACTED")
		}
	}
	require.Empty(t, fmt.Sprintf("%s%v", multiplay.Secret{}, multiplay.SourceURL{}))
	require.True(t, s3SecretKey().Equal(s3SecretKey()))
	require.False(t, s3SecretKey().Equal(s3Key()))
	require.True(t, parsedSource(t).Equal(parsedSource(t)))
	require.False(t, parsedSource(t).Equal(multiplay.SourceURL{}))
}

// A service may repeat what it was sent in the reason why a job failed, long
// after, with the URL or without it.
func TestJobErrorsShowNoSecret(t *testing.T) {
	client, mock := mockClient(t)
	job := ""
	mock.RegisterNoResponder(func(r *http.Request) (*http.Response, error) { return respondWith(job)(r) })
	reason := func(text string) string {
		said, err := json.Marshal(text)
		require.NoError(t, err)
		job = `{"updateid":1,"diffid":1,"imageversionid":1,"machinejobid":1,"uninstalljobid":1,"jobstateid":6,"joberror":` + string(said) + `}`
		update, err := client.ImageUpdates.Status(t.Context(), 1)
		require.NoError(t, err)
		all := []string{update.Error}
		diff, err := client.ImageDiffs.Retry(t.Context(), 1)
		require.NoError(t, err)
		all = append(all, diff.Error)
		version, err := client.ImageVersions.Status(t.Context(), 1)
		require.NoError(t, err)
		all = append(all, version.Error)
		rejection, err := client.ImageDiffs.Reject(t.Context(), 1, nil)
		require.NoError(t, err)
		all = append(all, rejection.Error)
		queued, err := client.ImageInstalls.Queue(t.Context(), &multiplay.QueueImageInstallRequest{JobID: 1})
		require.NoError(t, err)
		all = append(all, queued.Error)
		job = `{"installs":[{"jobid":1,"joberror":` + string(said) + `}]}`
		installs, err := client.ImageInstalls.List(t.Context())
		require.NoError(t, err)
		all = append(all, installs[0].Error)
		for _, text := range all {
			require.Equal(t, all[0], text)
			require.Empty(t, leaks(text))
		}
		return all[0]
	}
	for _, source := range []multiplay.Source{s3Source(), steamSource(), googleSource(), parsedSource(t)} {
		job = `{"updateid":1}`
		_, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 1, MachineID: 2, Description: "x", Source: source})
		require.NoError(t, err)
		raw, err := sent(t, source)
		require.NoError(t, err)
		scheme, _, _ := strings.Cut(raw, ":")
		require.Equal(t, "no such bucket: "+scheme+"://REDACTED sorry", reason("no such bucket: "+raw+" sorry"))
	}
	const notShown = "(not shown: it repeats a secret)"
	require.Equal(t, notShown, reason("access denied for "+s3Secret))
	require.Equal(t, notShown, reason("access denied for "+url.QueryEscape(s3Secret)))
	require.Equal(t, notShown, reason("s3://"+s3Access+":"+s3Secret+"@builds is no URL"))
	require.Equal(t, notShown, reason("bad key: "+fmt.Sprintf("%q", googleToken)))
	require.Equal(t, "the disk is full", reason("the disk is full"))

	// Nor does an error of a later call.
	mock.RegisterNoResponder(httpmock.NewStringResponder(http.StatusInternalServerError, "cannot parse "+s3Secret))
	_, err := client.ImageVersions.Status(t.Context(), 1)
	require.Empty(t, leaks(err.Error()+requireAs[*multiplay.Error](t, err).Body))
}

// Somebody else's source is not known, but its URL is.
func TestForeignSourcesAreNotShown(t *testing.T) {
	for _, said := range []string{
		"s3://key:" + url.PathEscape(s3Secret) + "@builds/x?token=1", "S3://key:" + url.PathEscape(s3Secret) + "@b",
		url.QueryEscape("gs://b?credentials=" + url.QueryEscape(googleToken)), `steam:\/\/u:` + url.PathEscape(steamPass) + `@install\/1`,
		"s3&#58;&#47;&#47;key:" + url.PathEscape(s3Secret),
	} {
		client, mock := mockClient(t)
		body, err := json.Marshal(map[string]any{"jobstatename": "Failed", "joberror": "cannot read " + said + " now"})
		require.NoError(t, err)
		mock.RegisterNoResponder(respondWith(string(body)))
		update, err := client.ImageUpdates.Status(t.Context(), 1)
		require.NoError(t, err)
		require.Regexp(t, `^cannot read (?i:s3|gs|steam)://REDACTED now$`, update.Error)
	}
}
