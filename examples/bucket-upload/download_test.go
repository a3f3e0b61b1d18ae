package main

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// A weak ETag, or Last-Modified alone, shows a change as well.
func TestVersions(t *testing.T) {
	data := content(9, 3*mib)
	for _, header := range []string{"ETag", "Last-Modified"} {
		for _, changes := range []bool{false, true} {
			server, args := start(t)
			images := serve(t, data)
			images.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
				value := map[string]string{"ETag": `W/"1"`, "Last-Modified": "Mon, 30 Nov 2026 12:00:00 GMT"}[header]
				if changes && n > 4 {
					value = strings.Replace(value, "1", "2", 1)
				}
				require.Empty(t, r.Header.Get("If-Match"))
				if n > 1 && header == "Last-Modified" {
					require.Equal(t, "Mon, 30 Nov 2026 12:00:00 GMT", r.Header.Get("If-Unmodified-Since"))
				}
				w.Header().Set(header, value)
				servePart(w, r, data)
				return true
			}
			code, out, errs := runProgram(t.Context(), append(args, "-url", images.URL+"/image", "-chunk-size", "1MiB")...)
			if changes {
				require.Equal(t, cli.Failed, code, out)
				require.Contains(t, errs, "the source changed since the upload began")
				require.Zero(t, server.Count(oraclemarkettest.OpMerge))
			} else {
				require.Equal(t, cli.Done, code, errs)
				requireUploaded(t, server, data)
			}
		}
	}
}

// servePart serves a range whatever its conditions are.
func servePart(w http.ResponseWriter, r *http.Request, data []byte) {
	r.Header.Del("If-Unmodified-Since")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

// No credential of the source is on the screen, in the result, in the
// checkpoint or on another host, whatever goes wrong.
func TestCredentialsAreHidden(t *testing.T) {
	const user, password, signature = "storage-user", "pass/wörd&1", "c2lnbmF0dXJlMTIz+/="
	secrets := []string{
		user, password, signature, url.QueryEscape(signature), url.QueryEscape(password), url.PathEscape(password), "X-Signature", "second-signature",
	}
	data := content(10, 4*mib)
	var mu sync.Mutex
	var heard []http.Header
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		heard = append(heard, r.Header)
		mu.Unlock()
		w.Header().Set("ETag", `"first"`)
		servePart(w, r, data)
	}))
	defer elsewhere.Close()
	var images *store
	for name, before := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"works": func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			gotUser, gotPassword, _ := r.BasicAuth()
			require.Equal(t, user+password+signature, gotUser+gotPassword+r.URL.Query().Get("X-Signature"))
			return false
		},
		"refused": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 3 {
				w.WriteHeader(http.StatusForbidden)
			}
			return n > 3
		},
		"replaced by an ETag that repeats it": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 3 {
				w.Header().Set("ETag", `"`+r.URL.Query().Get("X-Signature")+`"`)
				r.Header.Del("If-Match")
				servePart(w, r, data)
			}
			return n > 3
		},
		"broken": func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n > 3 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"redirected": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL+"/other?X-Signature=second-signature", http.StatusFound)
			return true
		},
		"redirected to nowhere": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/other?X-Signature=second-signature", http.StatusFound)
			return true
		},
		"redirected to itself": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", r.URL.String()+"%zz")
			w.WriteHeader(http.StatusFound)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, args := start(t)
			images = serve(t, data)
			images.before = before
			u, err := url.Parse(images.URL)
			require.NoError(t, err)
			u.User, u.Path, u.RawQuery = url.UserPassword(user, password), "/image.tar.gz", url.Values{"X-Signature": {signature}}.Encode()
			t.Setenv(urlVariable, u.String())
			result := filepath.Join(t.TempDir(), "result.json")
			code, out, errs := runProgram(t.Context(), append(args, "-json", "-result", result, "-chunk-size", "1MiB")...)
			require.Equal(t, name != "works" && name != "redirected", code != cli.Done, errs)
			shown := out + errs
			for _, dir := range []string{filepath.Dir(result), args[len(args)-1]} {
				require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return nil //nolint:nilerr // no checkpoint
					}
					kept, err := os.ReadFile(path)
					shown += path + string(kept)
					return err
				}))
			}
			for _, secret := range secrets {
				require.NotContains(t, shown, secret)
			}
		})
	}
	require.NotEmpty(t, heard)
	for _, header := range heard {
		require.Empty(t, header.Values("Authorization"))
		require.Empty(t, header.Values("Referer"))
	}
	_, args := start(t)
	for _, wrong := range []string{"https://" + user + ":a/b@host:port/", "https://" + user + ":%zz@host/", "https://host/?X-Signature=\x00"} {
		code, out, errs := runProgram(t.Context(), append(args, "-url", wrong)...)
		require.Equal(t, cli.Usage, code)
		require.NotContains(t, out+errs, user)
		require.NotContains(t, out+errs, "X-Signature")
	}
}
