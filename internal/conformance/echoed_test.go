package conformance

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Every operation against a service that repeats whatever it was sent, in every
// place of a response: neither the error nor the log shows a secret.
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

// errorsOf returns a few errors of type E that operations of the packages
// return when a service repeats what it was sent. TestEchoedSecretsAreHidden
// has all of them.
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

// A job says why it failed long after the call that gave its source to the
// service, which may repeat that source.
func TestLaterResponsesHideSources(t *testing.T) {
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
				if status != nil {
					requireNoSecret(t, status)
				}
			})
		}
	}
}
