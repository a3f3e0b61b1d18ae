package multiplaytest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/documents"
	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account   = multiplaytest.AccountServiceID
	create    = "/cfp/v1/imageupdate/create?accountserviceid=1337&imageid=1249&machineid=95394&desc=alpha-build&url=s3%3A%2F%2Fa%3Ab%40c%2F"
	envelope  = `{"_debug":[],"error":true,"error_code":1,"error_message":"%s","messages":[],"success":false}`
	forbidden = "Forbidden"
)

func start(t *testing.T, opts ...multiplaytest.Option) *multiplaytest.Server {
	t.Helper()
	server := multiplaytest.NewServer(opts...)
	t.Cleanup(server.Close)
	return server
}

// call sends a request as curl would, with a bearer token if access is
// "bearer".
func call(t *testing.T, s *multiplaytest.Server, method, path, access, secret string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, http.NoBody)
	require.NoError(t, err)
	if access == "bearer" {
		r.Header.Set("Authorization", "Bearer "+secret)
	} else {
		r.SetBasicAuth(access, secret)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// get returns the response to a call that is accepted.
func get(t *testing.T, s *multiplaytest.Server, path string) map[string]any {
	t.Helper()
	access, secret := s.AccessKey, s.SecretKey
	if s.Token != "" {
		access, secret = "bearer", s.Token
	}
	status, body := call(t, s, http.MethodGet, path, access, secret)
	require.Equal(t, http.StatusOK, status, body)
	var response map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &response))
	require.NotEqual(t, false, response["success"], body)
	return response
}

func refused(text string) string { return strings.Replace(envelope, "%s", text, 1) }

// The curl command of "Image update status", with its placeholders filled in. Its
// backslash has lost the end of the line.
func TestCommandOfTheDocument(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	s := start(t, multiplaytest.WithJobTime(0))
	require.InDelta(t, 4711, get(t, s, create)["updateid"], 0)
	filled := strings.NewReplacer(
		multiplay.DefaultBaseURL, s.URL, `\ --`, "--", "<updateid>", "4711", "<accountserviceid>", strconv.Itoa(account),
		"YOUR_AUTH_CREDENTIALS", base64.StdEncoding.EncodeToString([]byte(s.AccessKey+":"+s.SecretKey)),
	).Replace(documents.Example(documents.MultiplayUpdateStatus, "curl"))
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "export no_proxy='*'; "+filled+" --silent --show-error --fail-with-body").CombinedOutput()
	require.NoError(t, err, string(out))
	var response map[string]any
	require.NoError(t, json.Unmarshal(out, &response), string(out))
	require.Equal(t, "Completed", response["jobstatename"])
	for _, field := range []string{
		"jobprogress", "jobstateid", "jobstart", "joberror", "jobeta", "jobfailed", "success", "jobcreated", "updateid", "jobupdated",
	} {
		require.Contains(t, response, field)
	}
	require.IsType(t, "", response["jobstart"])
}

func TestPrintedCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	for name, opts := range map[string][]multiplaytest.Option{
		"keys": nil, "tokens": {multiplaytest.WithBearerTokens("secret-token")},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, opts...)
			for _, command := range s.Curl() {
				out, err := exec.CommandContext(t.Context(), "sh", "-c",
					"export no_proxy='*'; "+command+" --silent --show-error --fail-with-body").CombinedOutput()
				require.NoError(t, err, "%s\n%s", command, out)
				require.NotContains(t, string(out), "error_message")
			}
			require.Equal(t, "s3://myuser:mypassword@bucket/key", s.Updates()[0].SourceURL)
		})
	}
}

func TestEnv(t *testing.T) {
	s := start(t)
	require.Equal(t, []string{
		"MULTIPLAY_ENDPOINT=" + s.URL, "MULTIPLAY_ACCESS_KEY=test-access-key", "MULTIPLAY_SECRET_KEY=test-secret-key",
		"MULTIPLAY_ACCOUNT_SERVICE_ID=1337", "MULTIPLAY_SOURCE_URL=steam://anonymous:@install/740/",
	}, s.Env())
	s = start(t, multiplaytest.WithBearerTokens("secret-token"))
	require.Equal(t, []string{
		"MULTIPLAY_ENDPOINT=" + s.URL, "MULTIPLAY_TOKEN=secret-token",
		"MULTIPLAY_ACCOUNT_SERVICE_ID=1337", "MULTIPLAY_SOURCE_URL=steam://anonymous:@install/740/",
	}, s.Env())
}

func TestOutage(t *testing.T) {
	s := start(t)
	end := s.StartOutage(multiplaytest.Outage{Status: http.StatusTooManyRequests, RetryAfter: "1"})
	status, body := call(t, s, http.MethodGet, create, s.AccessKey, s.SecretKey)
	require.Equal(t, http.StatusTooManyRequests, status, body)
	end()
	require.Zero(t, s.Processed(multiplaytest.OpUpdateCreate))
	get(t, s, create)
}

func TestWhatIsRefused(t *testing.T) {
	s := start(t, multiplaytest.WithJobTime(0))
	diff := s.LockImage(multiplaytest.ImageID)
	for _, test := range []struct {
		path, access, secret string
		status               int
		text                 string
	}{
		{create, "wrong", s.SecretKey, 401, forbidden},
		{create, s.AccessKey, "wrong", 401, forbidden},
		{"/cfp/v1/imageinstall/status?accountserviceid=1", s.AccessKey, s.SecretKey, 403, forbidden},
		{"/cfp/v2/project/1/image/1249/status", s.AccessKey, s.SecretKey, 403, forbidden},
		{"/cfp/v1/imageinstall/status", s.AccessKey, s.SecretKey, 400, "accountserviceid is required"},
		{"/cfp/v1/nothing", s.AccessKey, s.SecretKey, 404, "no operation GET /cfp/v1/nothing"},
	} {
		status, body := call(t, s, http.MethodGet, test.path, test.access, test.secret)
		require.Equal(t, test.status, status, test.path)
		require.Equal(t, refused(test.text), body)
	}
	status, _ := call(t, s, http.MethodPost, create, s.AccessKey, s.SecretKey)
	require.Equal(t, http.StatusMethodNotAllowed, status)

	for _, test := range []struct {
		path   string
		status int
		text   string
	}{
		{"v1/imageupdate/create?imageid=1249&machineid=95394&url=s3%3A%2F%2Fa", 400, "desc is required"},
		{"v1/imageupdate/create?imageid=x&machineid=95394&desc=x&url=s3%3A%2F%2Fa", 400, "imageid must be a positive number"},
		{"v1/imageupdate/create?imageid=1249&machineid=95394&desc=x", 400, "url is required: the image has no update_url"},
		{"v1/imageupdate/create?imageid=1249&machineid=95394&desc=x&url=http%3A%2F%2Fa", 400, "url must be an s3, gs, steam or cos URL"},
		{"v1/imageupdate/create?imageid=5&machineid=95394&desc=x&url=s3%3A%2F%2Fa", 404, "unknown image"},
		{"v1/imageupdate/create?imageid=1249&machineid=5&desc=x&url=s3%3A%2F%2Fa", 404, "unknown machine"},
		{"v1/imageupdate/create?imageid=1249&machineid=95394&desc=x&url=s3%3A%2F%2Fa", 200, "image locked by diffid: 4711"},
		{"v1/imageupdate/5/status?x=1", 404, "not found: 5"},
		{"v1/imagediff/create?imageid=1249&machineid=95394", 200, "image locked by diffid: 4711"},
		{"v1/imagediff/4711/status?diff_info=true", 400, "diff_info must be 0 or 1"},
		{"v1/imagediff/4711/reject?x=1", 400, "reinstall is required"},
		{"v1/imageversion/create?diffid=4711&disable_timeout=1&disable_percentage=101", 400, "disable_percentage must be 0.00 to 100.00"},
		{"v1/imageversion/create?diffid=4711&disable_percentage=1", 400, "disable_timeout and disable_percentage must be given together"},
		{"v1/imageversion/create?diffid=4711&disable_timeout=1", 400, "disable_timeout and disable_percentage must be given together"},
		{"v1/imageversion/create?diffid=4711&install_at=tomorrow", 400, "install_at must be a Unix time or NOW()"},
		{"v1/imageinstall/5/queue?mirroring=1", 400, "mirroring must be false or true"},
		{"v1/image/options?gameid=5", 400, "gameid and imageid must be given together"},
		{"v1/image/1249/update?active=yes", 400, "active must be 0 or 1"},
		{"v1/image/5/update?active=1", 404, "unknown image"},
	} {
		status, body := call(t, s, http.MethodGet, "/cfp/"+test.path+"&accountserviceid=1337", s.AccessKey, s.SecretKey)
		require.Equal(t, refused(test.text), body, test.path)
		require.Equal(t, test.status, status, test.path)
	}
	require.Equal(t, int64(4711), diff)
	require.Zero(t, s.Processed(multiplaytest.OpUpdateCreate)+s.Processed(multiplaytest.OpDiffCreate))
}

// A running update locks its image, and no other.
func TestUpdateLocks(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(time.Minute),
		multiplaytest.WithImage(multiplaytest.Image{ID: 5, GameID: 6, Name: "other"}))
	get(t, s, create)
	const newDiff = "/cfp/v1/imagediff/create?accountserviceid=1337&imageid=1249&machineid=95394"
	for _, path := range []string{create, newDiff} {
		status, body := call(t, s, http.MethodGet, path, s.AccessKey, s.SecretKey)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, refused("image locked by updateid: 4711"), body)
	}
	get(t, s, strings.Replace(create, "1249", "5", 1))
	clock.Advance(time.Minute)
	get(t, s, create)
	clock.Advance(time.Minute)
	get(t, s, newDiff)
	require.Equal(t, 3, s.Processed(multiplaytest.OpUpdateCreate))
	require.Equal(t, 1, s.Processed(multiplaytest.OpDiffCreate))
}

func TestErrorStyles(t *testing.T) {
	for style, want := range map[multiplaytest.ErrorStyle][2]int{
		multiplaytest.ErrorsMixed: {404, 200}, multiplaytest.ErrorsIn200: {200, 200}, multiplaytest.ErrorsByStatus: {404, 400},
	} {
		s := start(t, multiplaytest.WithDialect(multiplaytest.Dialect{Errors: style}))
		s.LockImage(multiplaytest.ImageID)
		notFound, _ := call(t, s, http.MethodGet, "/cfp/v1/imageupdate/5/status?accountserviceid=1337", s.AccessKey, s.SecretKey)
		locked, _ := call(t, s, http.MethodGet, create, s.AccessKey, s.SecretKey)
		require.Equal(t, want, [2]int{notFound, locked})
		require.Zero(t, s.Processed(multiplaytest.OpUpdateCreate))
	}
}

// The clock alone takes a job through its states.
func TestStatesOverTime(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, multiplaytest.WithClock(clock.Now), multiplaytest.WithJobTime(100*time.Second))
	s.Next(multiplaytest.Update, multiplaytest.Outcome{State: multiplay.JobFailed, Error: "no such bucket"})
	get(t, s, create)
	var way []any
	for range 11 {
		now := get(t, s, "/cfp/v1/imageupdate/status?accountserviceid=1337&updateid=4711") // as observed of a client
		way = append(way, now["jobstatename"], now["jobprogress"], now["jobstart"], now["jobeta"], now["joberror"], now["jobfailed"])
		clock.Advance(10 * time.Second)
	}
	running := func(progress float64) []any {
		return []any{"Running", progress, "1700000020", float64(1700000100), nil, float64(0)}
	}
	want := append([]any{"Created", float64(0), nil, nil, nil, float64(0)}, "Queued", float64(0), nil, nil, nil, float64(0))
	for progress := range 8 {
		want = append(want, running([]float64{0, 12, 25, 37, 50, 62, 75, 87}[progress])...)
	}
	want = append(want, "Failed", float64(0), "1700000020", nil, "no such bucket", float64(1))
	require.Equal(t, want, way)

	retried := get(t, s, "/cfp/v1/imageupdate/4711/retry?accountserviceid=1337")
	require.Equal(t, "Created", retried["jobstatename"])
	require.InDelta(t, 1, retried["jobfailed"], 0)
	clock.Advance(100 * time.Second)
	now := get(t, s, "/cfp/v1/imageupdate/4711/status?accountserviceid=1337")
	require.Equal(t, "Completed", now["jobstatename"]) // after a failure
	require.InDelta(t, 1, now["jobfailed"], 0)
	require.InDelta(t, 100, now["jobprogress"], 0)
	status, _ := call(t, s, http.MethodGet, "/cfp/v1/imageupdate/4711/retry?accountserviceid=1337", s.AccessKey, s.SecretKey)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, 1, s.Processed(multiplaytest.OpUpdateRetry))
}

func TestSpellings(t *testing.T) {
	s := start(t, multiplaytest.WithJobTime(0), multiplaytest.WithDialect(multiplaytest.Dialect{
		OmitStateID: true, NumericJobStart: true, Complete: true, EmptyArrays: true,
	}))
	s.SetFiles(multiplaytest.Files{Added: []string{"a"}})
	s.LockImage(multiplaytest.ImageID)
	now := get(t, s, "/cfp/v1/imagediff/4711/status?accountserviceid=1337&diff_info=1")
	require.NotContains(t, now, "jobstateid")
	require.IsType(t, 0.0, now["jobstart"])
	require.Equal(t, "Complete", now["jobstatename"])
	require.Equal(t, []any{}, now["removed"])
	require.Contains(t, now["added"], "a")
}

func TestImages(t *testing.T) {
	s := start(t, multiplaytest.WithImage(multiplaytest.Image{ID: 5, GameID: 6, Name: "other", UpdateURL: "s3://a:b@c/"}), multiplaytest.WithBuildMachine(7))
	client := s.Client()
	options, err := client.Images.Options(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, options.Images, 2)
	require.Len(t, options.Games, 2)
	require.Len(t, options.Machines, 2)

	update, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{ImageID: 5, MachineID: 7, Description: "x"})
	require.NoError(t, err)
	require.Equal(t, "s3://a:b@c/", s.Updates()[0].SourceURL)
	locking := s.LockImage(5)
	options, err = client.Images.Options(t.Context(), &multiplay.ImageOptionsRequest{GameID: 6, ImageID: 5})
	require.NoError(t, err)
	require.Equal(t, []int64{update.UpdateID, locking}, []int64{options.UpdateID, options.DiffID})
	require.Equal(t, "REDACTED", options.UpdateURL.String())
	require.Equal(t, []multiplay.ImageOption{{ImageID: 5, Name: "other", GameVersionID: "6"}}, options.Images)

	image, err := client.Images.SetActive(t.Context(), 5, false)
	require.NoError(t, err)
	require.False(t, image.Active)
	require.False(t, image.CreatedAt.IsZero())
	image, err = client.Images.SetActive(t.Context(), 5, true)
	require.NoError(t, err)
	require.True(t, image.Active)
}

func TestStart(t *testing.T) {
	s := start(t, multiplaytest.WithKeys(9, "a", "b"))
	address, err := url.Parse(s.URL)
	require.NoError(t, err)
	_, err = multiplaytest.Start(address.Host)
	require.ErrorContains(t, err, "multiplaytest: ")
	require.Panics(t, func() { s.Client(multiplay.WithRetry(0, 0, 0)) })

	for range 3 {
		_, err := s.Client().ImageInstalls.List(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, s.Requests(), 3)
	require.Equal(t, 3, s.Count(multiplaytest.OpInstallList))
	s.Inject(multiplaytest.Fault{Operation: multiplaytest.OpInstallList, Status: 404, Times: -1})
	_, err = s.Client().ImageInstalls.List(t.Context())
	require.ErrorIs(t, err, multiplay.ErrNotFound)
	require.Equal(t, 1, s.FaultsLeft())
	s.ClearFaults()
	_, err = s.Client().ImageInstalls.List(t.Context())
	require.NoError(t, err)
}

// In a synctest bubble an in-memory listener replaces the socket.
func TestListener(t *testing.T) {
	listener := emulator.NewPipeListener()
	s := start(t, multiplaytest.WithListener(listener))
	transport := &http.Transport{DialContext: listener.DialContext}
	defer transport.CloseIdleConnections()
	_, err := s.Client(multiplay.WithHTTPClient(&http.Client{Transport: transport})).ImageInstalls.List(t.Context())
	require.NoError(t, err)
}
