package multiplay_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/multiplay"
)

// The credentials of the whole suite. Nothing of them may be printed.
const (
	accessKey = "accessKeyOfTheSuite"
	secretKey = "Zr8/tQ!secret+of+the+suite"

	s3Access    = "AKIA7EXAMPLEKEY"
	s3Secret    = "wJ/alr@XUt:nFE%MI+K7?MD#ENG é€ bPx"
	steamPass   = "pass/w@rd:of%the+steam?user#ü"
	steamGuard  = "GUARD77CODE"
	steamBeta   = "beta&pass=word of it"
	googleToken = `{"type":"service_account","private_key_id":"0123456789abcdef","private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgk/hkiG9w0=\n-----END PRIVATE KEY-----\n"}`

	updateURLSecret = "updatesecret" // in testdata/image_options.json
)

// printed is all that the suite printed: stdout and stderr of the tests, the
// log of every client, and each error and value that went through show.
var printed recorder

type recorder struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.String()
}

func TestMain(m *testing.M) {
	wait := tee(&os.Stdout, &printed)
	waitErr := tee(&os.Stderr, &printed)
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		wait()
		waitErr()
		if leaked := leaks(printed.String()); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "FAIL: secrets in what the suite printed: %q\n", leaked)
			code = 1
		}
		os.Exit(code)
	}))
}

// tee copies to into w as well, until the function it returns is called.
func tee(to **os.File, w io.Writer) func() {
	original := *to
	r, pipe, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	*to = pipe
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(original, w), r)
	}()
	return func() {
		*to = original
		pipe.Close()
		<-done
		r.Close()
	}
}

func s3Key() multiplay.Secret { return multiplay.NewSecret(s3Access) }

func s3SecretKey() multiplay.Secret { return multiplay.NewSecret(s3Secret) }

// leaks finds pieces of secrets, however they are spelled.
func leaks(text string) []string {
	const window = 9
	var found []string
	for _, secret := range []string{
		secretKey, s3Access, s3Secret, steamPass, steamGuard, steamBeta, updateURLSecret, "MIIEvQIBADANBgk/hkiG9w0=", "0123456789abcdef",
		base64.StdEncoding.EncodeToString([]byte(accessKey + ":" + secretKey)),
	} {
		for _, spelled := range []string{secret, url.QueryEscape(secret), url.QueryEscape(url.QueryEscape(secret)), strings.ReplaceAll(secret, "/", `\/`)} {
			for i := 0; i+window <= len(spelled); i++ {
				if piece := spelled[i : i+window]; strings.Contains(text, piece) {
					found = append(found, piece)
				}
			}
		}
	}
	return found
}

func TestLeaksAreFound(t *testing.T) {
	require.Empty(t, leaks("nothing of it"))
	for _, text := range []string{secretKey, "x" + s3Secret[3:14], url.QueryEscape(url.QueryEscape(s3Secret))} {
		require.NotEmpty(t, leaks(text))
	}
}

// show prints v in every way there is.
func show(v any) {
	fmt.Fprintf(&printed, "%v\n%+v\n%#v\n%s\n%q\n%x\n", v, v, v, v, v, v)
	_ = json.NewEncoder(&printed).Encode(v)
	logger().InfoContext(context.Background(), "shown", "value", v)
	if err, ok := v.(error); ok {
		fmt.Fprintln(&printed, err.Error())
	}
}

// requireAs is the error of type T in err, after it was shown.
func requireAs[T error](t *testing.T, err error) T {
	t.Helper()
	show(err)
	var target T
	require.ErrorAs(t, err, &target)
	return target
}

func logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&printed, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const (
	account = 1337
	base    = multiplay.DefaultBaseURL
)

func keys() multiplay.Credentials { return multiplay.AccessKey(account, accessKey, secretKey) }

// mockClient is a client whose requests go to the mock.
func mockClient(t *testing.T, opts ...multiplay.Option) (*multiplay.Client, *httpmock.MockTransport) {
	t.Helper()
	mock := httpmock.NewMockTransport()
	opts = append([]multiplay.Option{
		multiplay.WithHTTPClient(&http.Client{Transport: mock}),
		multiplay.WithLogger(logger()),
		multiplay.WithRetry(3, 0, time.Millisecond),
	}, opts...)
	client, err := multiplay.New(keys(), opts...)
	require.NoError(t, err)
	return client, mock
}

// respondWith is a mocked 200 with that body.
func respondWith(body string) httpmock.Responder {
	return httpmock.NewStringResponder(http.StatusOK, body).HeaderSet(http.Header{"Content-Type": {"application/json"}})
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(body)
}

// call is one method of a service, the request it has to send and the fixture
// that is the response.
type call struct {
	name    string
	path    string
	query   url.Values // beside accountserviceid
	fixture string
	do      func(*multiplay.Client) (any, error)
	want    any
}

// run checks the calls.
func run(t *testing.T, calls []call) {
	t.Helper()
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			client, mock := mockClient(t)
			if c.query == nil {
				c.query = url.Values{}
			}
			if !strings.HasPrefix(c.path, "/cfp/v2/") {
				c.query.Set("accountserviceid", "1337")
			}
			mock.RegisterResponder(http.MethodGet, base+c.path, func(r *http.Request) (*http.Response, error) {
				require.Equal(t, c.query, r.URL.Query())
				user, password, ok := r.BasicAuth()
				require.True(t, ok)
				require.Equal(t, accessKey, user)
				require.Equal(t, secretKey, password)
				require.Equal(t, "application/x-www-form-urlencoded", r.Header.Get("Content-Type"))
				require.Equal(t, "application/json", r.Header.Get("Accept"))
				return respondWith(fixture(t, c.fixture))(r)
			})
			got, err := c.do(client)
			require.NoError(t, err)
			show(got)
			require.Equal(t, c.want, got)
			require.Equal(t, 1, mock.GetTotalCallCount())
		})
	}
}

// roundTrip is v after it was marshaled and unmarshaled.
func roundTrip[T any](t *testing.T, v T) T {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	var back T
	require.NoError(t, json.Unmarshal(data, &back))
	return back
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
