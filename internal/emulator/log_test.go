package emulator_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// plainClient pools connections. Tests that use it close the idle ones.
var plainClient = &http.Client{Transport: &http.Transport{}}

func TestRequests(t *testing.T) {
	clock := emulator.NewManualClock(time.Unix(1700000000, 0))
	s := start(t, emulator.Config{Clock: emulator.NewClock(clock.Now, 0)})
	require.Empty(t, s.Requests())

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL()+"/echo?a=b", io.NopCloser(bytes.NewReader([]byte("hello"))))
	require.NoError(t, err)
	req.Header.Set("X-Tag", "1")
	resp, err := plainClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	plainClient.CloseIdleConnections()

	got := s.Requests()
	require.Len(t, got, 1)
	require.Equal(t, "1", got[0].Header.Get("X-Tag"))
	got[0].Header = nil
	require.Equal(t, emulator.Request{
		Seq: 1, Time: clock.Now(), Operation: "Echo.Put", Method: http.MethodPut, Path: "/echo", RawQuery: "a=b",
		ContentLength: -1, TransferEncoding: []string{"chunked"}, BodyBytes: 5, Status: 202, Processed: true,
	}, got[0])
}

func TestRequestsAreBounded(t *testing.T) {
	s := start(t, emulator.Config{LogLimit: 3})
	for range 5 {
		call(t, http.MethodGet, s.URL()+"/echo/7", "")
	}
	got := s.Requests()
	require.Len(t, got, 3)
	require.Equal(t, 3, got[0].Seq)
	require.Equal(t, 5, got[2].Seq)
	require.Equal(t, 5, s.Count("Echo.Get"))
	require.Equal(t, 5, s.Processed("Echo.Get"))
	require.Zero(t, s.Count("Echo.Put"))
}

func TestMarkProcessed(t *testing.T) {
	s := emulator.New(emulator.Config{})
	s.Handle("Fail", "GET /fail", func(w http.ResponseWriter, _ *http.Request) {
		emulator.MarkProcessed(w, false)
		emulator.WriteJSON(w, http.StatusOK, map[string]bool{"success": false})
	})
	require.NoError(t, s.Start())
	defer s.Close()
	require.Equal(t, http.StatusOK, call(t, http.MethodGet, s.URL()+"/fail", "").status)
	require.Equal(t, 1, s.Count("Fail"))
	require.Zero(t, s.Processed("Fail"))
}

func TestReadForm(t *testing.T) {
	s := emulator.New(emulator.Config{})
	var seen []string
	s.Handle("Form", "POST /form", func(w http.ResponseWriter, r *http.Request) {
		err := emulator.ReadForm(r, func(part emulator.FormPart) error {
			if part.Name == "skipped" {
				return nil
			}
			value, err := io.ReadAll(part)
			seen = append(seen, part.Name+"/"+part.FileName+"/"+string(value))
			return err
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	})
	require.NoError(t, s.Start())
	defer s.Close()

	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	require.NoError(t, form.WriteField("json", "{}"))
	require.NoError(t, form.WriteField("skipped", "12345"))
	file, err := form.CreateFormFile("file", "a b.tar.gz")
	require.NoError(t, err)
	_, err = file.Write([]byte("image"))
	require.NoError(t, err)
	whole := body.String()
	require.NoError(t, form.Close())

	post := func(contentType, body string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/form", bytes.NewReader([]byte(body)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", contentType)
		resp, err := plainClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	defer plainClient.CloseIdleConnections()

	require.Equal(t, http.StatusOK, post(form.FormDataContentType(), body.String()))
	require.Equal(t, []string{"json//{}", "file/a b.tar.gz/image"}, seen)
	require.Equal(t, []emulator.Part{
		{Name: "json", Size: 2}, {Name: "skipped", Size: 5}, {Name: "file", FileName: "a b.tar.gz", Size: 5},
	}, s.Requests()[0].Parts)
	require.Equal(t, int64(body.Len()), s.Requests()[0].BodyBytes)

	// A truncated form is refused, wherever it ends.
	require.Equal(t, http.StatusBadRequest, post(form.FormDataContentType(), whole))
	onePart := "--" + form.Boundary() + "\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{}\r\n--" + form.Boundary() + "\r\n"
	require.Equal(t, http.StatusBadRequest, post(form.FormDataContentType(), onePart))
	require.Equal(t, http.StatusBadRequest, post(form.FormDataContentType(), ""))
	require.Equal(t, http.StatusBadRequest, post("application/json", "{}"))
	require.Equal(t, http.StatusBadRequest, post("multipart/form-data", "{}"))
}
