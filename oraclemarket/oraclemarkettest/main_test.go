package oraclemarkettest_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const images = "/appstore/publisher/v1/machineimages"

// rig is a server with a manual clock, and a plain HTTP client.
type rig struct {
	*oraclemarkettest.Server
	t     *testing.T
	clock *emulator.ManualClock
	http  *http.Client
}

var start = time.Date(2024, 5, 6, 7, 8, 9, 123e6, time.UTC)

func newRig(t *testing.T, opts ...oraclemarkettest.Option) *rig {
	t.Helper()
	clock := emulator.NewManualClock(start)
	s := oraclemarkettest.NewServer(append([]oraclemarkettest.Option{oraclemarkettest.WithClock(clock.Now)}, opts...)...)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
	})
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &rig{Server: s, t: t, clock: clock, http: &http.Client{Transport: transport, CheckRedirect: noRedirects}}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request with the usual credentials. Headers (name, value,
// name, value...) replace them; an empty value removes a header.
func (g *rig) send(method, path string, body io.Reader, headers ...string) (reply, error) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.URL+path, body)
	require.NoError(g.t, err)
	req.Header.Set("X-Oracle-UserId", "partner-email")
	req.Header.Set("Authorization", "Bearer Access-token")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}, err
}

func (g *rig) do(method, path string, body io.Reader, headers ...string) reply {
	g.t.Helper()
	got, err := g.send(method, path, body, headers...)
	require.NoError(g.t, err)
	return got
}

// want makes one request and checks the response.
func (g *rig) want(status int, body string, method, path string, content io.Reader, headers ...string) {
	g.t.Helper()
	got := g.do(method, path, content, headers...)
	require.Equal(g.t, status, got.status, got.body)
	require.Equal(g.t, body, got.body)
}

// wantError makes one request and checks that it is refused for this reason.
func (g *rig) wantError(status int, reason string, method, path string, content io.Reader, headers ...string) {
	g.t.Helper()
	got := g.do(method, path, content, headers...)
	require.Equal(g.t, status, got.status, got.body)
	require.Equal(g.t, "application/json", got.header.Get("Content-Type"))
	var body map[string]string
	require.NoError(g.t, json.Unmarshal([]byte(got.body), &body))
	require.Len(g.t, body, 2)
	require.NotEmpty(g.t, body["errorCode"])
	require.Contains(g.t, body["message"], reason)
}

// field is a part of a form; a file if it has a file name.
type field struct{ name, fileName, value string }

func form(fields ...field) (body io.Reader, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		var part io.Writer
		if f.fileName != "" {
			part, _ = w.CreateFormFile(f.name, f.fileName)
		} else {
			part, _ = w.CreateFormField(f.name)
		}
		_, _ = io.WriteString(part, f.value)
	}
	_ = w.Close()
	return &b, w.FormDataContentType()
}

const (
	wholeJSON = `{"application": "My_Machine_Image","version":"1.0","operatingSystem":"linux","overwriteStorageFile":true}`
	chunkJSON = `{"application": "My_Machine_Image_chunk","version":"1.0","operatingSystem":"linux"}`
)

// postForm sends a form with a file name in the header.
func (g *rig) postForm(path string, fields []field, headers ...string) reply {
	g.t.Helper()
	body, contentType := form(fields...)
	headers = append([]string{"Content-Type", contentType, "X-File-Name", "machineImage.tar.gz"}, headers...)
	return g.do(http.MethodPost, path, body, headers...)
}

func (g *rig) wantFormError(status int, reason, path string, fields []field, headers ...string) {
	g.t.Helper()
	body, contentType := form(fields...)
	headers = append([]string{"Content-Type", contentType, "X-File-Name", "machineImage.tar.gz"}, headers...)
	g.wantError(status, reason, http.MethodPost, path, body, headers...)
}

// entityID takes the id from an acknowledgement.
func (g *rig) entityID(got reply) int64 {
	g.t.Helper()
	require.Equal(g.t, http.StatusOK, got.status, got.body)
	var ack map[string]string
	require.NoError(g.t, json.Unmarshal([]byte(got.body), &ack))
	id, err := strconv.ParseInt(ack["entityId"], 10, 64)
	require.NoError(g.t, err)
	return id
}

func (g *rig) create(content string) int64 {
	g.t.Helper()
	return g.entityID(g.postForm(images, []field{{name: "json", value: wholeJSON}, {"file", "machineImage.tar.gz", content}}))
}

func (g *rig) initiate(chunks int) int64 {
	g.t.Helper()
	return g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}},
		"X-Number-Of-Chunks", strconv.Itoa(chunks)))
}

func at(id int64) string { return images + "/" + strconv.FormatInt(id, 10) }

func (g *rig) chunk(id int64, number int, content string, headers ...string) reply {
	g.t.Helper()
	return g.postForm(at(id)+"/chunk", []field{{"file", "machineImage.tar.gz", content}},
		append([]string{"X-Chunk-Number", strconv.Itoa(number)}, headers...)...)
}

func (g *rig) merge(id int64) reply {
	g.t.Helper()
	body, contentType := form(field{name: "action", value: "upload"})
	return g.do(http.MethodPatch, at(id), body, "Content-Type", contentType)
}

// upload uploads an image in chunks from number 1, up to the merge.
func (g *rig) upload(chunks ...string) int64 {
	g.t.Helper()
	id := g.initiate(len(chunks))
	for i, content := range chunks {
		require.Equal(g.t, http.StatusOK, g.chunk(id, i+1, content).status)
	}
	require.Equal(g.t, http.StatusOK, g.merge(id).status)
	return id
}

// record gets the details of an upload request.
func (g *rig) record(id int64) map[string]any {
	g.t.Helper()
	got := g.do(http.MethodGet, at(id), nil)
	require.Equal(g.t, http.StatusOK, got.status, got.body)
	var record map[string]any
	require.NoError(g.t, json.Unmarshal([]byte(got.body), &record))
	return record
}

func (g *rig) uploaded(id int64) oraclemarkettest.Upload {
	g.t.Helper()
	u, ok := g.Upload(id)
	require.True(g.t, ok)
	return u
}

func md5Of(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// compact removes the white space of a JSON sample, outside its strings.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(text)))
	return b.String()
}
