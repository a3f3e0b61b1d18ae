package oraclemarket_test

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The curl commands of the two source documents, with the host replaced and a
// file given, and the client's calls for the same operations: the server must
// accept both, and both must be the same requests.
func TestCurlCommandsOfTheDocuments(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("there is no curl")
	}
	image := filepath.Join(t.TempDir(), "machineImage.tar.gz")
	require.NoError(t, os.WriteFile(image, bytes.Repeat([]byte("image "), 1000), 0o600))
	file, err := os.Open(image)
	require.NoError(t, err)
	defer file.Close()

	// As in the documents, down to the order of the flags.
	auth := []string{"-H", "X-Oracle-UserId: partner-email", "-H", "Authorization: Bearer Access-token"}
	for name, test := range map[string]struct {
		curl []string // %URL% and %FILE% are filled in
		call func(*oraclemarket.Client) error
	}{
		"Detailed Status of Machine Image Upload Request": {
			slices.Concat([]string{"-X", "GET"}, auth, []string{"%URL%/appstore/publisher/v1/machineimages/2797087"}),
			func(c *oraclemarket.Client) error {
				got, err := c.MachineImages.Get(t.Context(), 2797087)
				if err == nil {
					require.Equal(t, oraclemarket.StatusCompleted, got.StatusName)
					require.Equal(t, "wordpress.tar.gz", got.FileName)
				}
				return err
			},
		},
		"Upload Whole Machine Image": {
			slices.Concat([]string{"-X", "POST"}, auth, []string{
				"-H", "X-File-Name: machineImage.tar.gz",
				"-F", `json={"application": "My_Machine_Image","version":"1.0","operatingSystem":"linux","overwriteStorageFile":true}`,
				"-F", "file=@%FILE%", "%URL%/appstore/publisher/v1/machineimages",
			}),
			func(c *oraclemarket.Client) error {
				info, err := file.Stat()
				require.NoError(t, err)
				_, err = c.MachineImages.Create(t.Context(), &oraclemarket.CreateMachineImageRequest{
					Application: "My_Machine_Image", Version: "1.0", OperatingSystem: "linux", OverwriteStorageFile: new(true),
					FileName: "machineImage.tar.gz", File: file, Size: info.Size(),
				})
				return err
			},
		},
		"Initiate Machine Image in chunks upload": {
			slices.Concat([]string{"-X", "POST"}, auth, []string{
				"-H", "X-File-Name: machineImage.tar.gz", "-H", "X-Number-Of-Chunks: 3",
				"-F", `json={"application": "My_Machine_Image_chunk","version":"1.0","operatingSystem":"linux"}`,
				"-F", "uploadType=Chunk", "%URL%/appstore/publisher/v1/machineimages",
			}),
			func(c *oraclemarket.Client) error {
				_, err := c.MachineImages.Initiate(t.Context(), &oraclemarket.InitiateUploadRequest{
					Application: "My_Machine_Image_chunk", Version: "1.0", OperatingSystem: "linux",
					FileName: "machineImage.tar.gz", NumberOfChunks: 3,
				})
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := oraclemarkettest.NewServer()
			defer server.Close()
			args := []string{"--silent", "--show-error", "--fail-with-body"}
			for _, arg := range test.curl {
				args = append(args, strings.NewReplacer("%URL%", server.URL, "%FILE%", image).Replace(arg))
			}
			out, err := exec.CommandContext(t.Context(), curl, append([]string{"--noproxy", "*"}, args...)...).CombinedOutput()
			require.NoError(t, err, "%s", out)

			client, err := oraclemarket.New("partner-email", oraclemarket.StaticToken("Access-token"), oraclemarket.WithBaseURL(server.URL))
			require.NoError(t, err)
			require.NoError(t, test.call(client))

			requests := server.Requests()
			require.Len(t, requests, 2)
			documented, ours := requests[0], requests[1]
			require.Equal(t, http.StatusOK, documented.Status)
			require.Equal(t, documented.Status, ours.Status)
			require.Equal(t, documented.Operation, ours.Operation)
			require.Equal(t, documented.Method, ours.Method)
			require.Equal(t, documented.Path, ours.Path)
			require.Equal(t, documented.RawQuery, ours.RawQuery)
			require.Equal(t, headerNames(documented), headerNames(ours))
			for _, name := range []string{"Authorization", "X-Oracle-Userid", "X-File-Name", "X-Number-Of-Chunks"} {
				require.Equal(t, documented.Header.Get(name), ours.Header.Get(name), name)
			}
			require.Equal(t, fields(documented), fields(ours))
			require.Equal(t, documented.Processed, ours.Processed)
		})
	}
}

// headerNames are the names that the request has, less those that every HTTP
// client sends on its own, or to keep caches away.
func headerNames(r oraclemarkettest.Request) []string {
	names := slices.Collect(maps.Keys(r.Header))
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains([]string{"Accept", "Accept-Encoding", "User-Agent", "Content-Length", "Connection", "Expect", "Cache-Control", "Pragma"}, name)
	})
	slices.Sort(names)
	return names
}

// fields are the names of the form's parts, and for a file its name and size.
func fields(r oraclemarkettest.Request) map[string]any {
	out := map[string]any{}
	for _, p := range r.Parts {
		if p.FileName == "" {
			out[p.Name] = "a field"
		} else {
			out[p.Name] = []any{p.FileName, p.Size}
		}
	}
	return out
}

// Calls that are refused together ask for one new token between them.
func TestParallelRefusalsCauseOneTokenRequest(t *testing.T) {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	client := server.Client()
	_, err := client.MachineImages.Get(t.Context(), oraclemarkettest.SampleID)
	require.NoError(t, err)
	require.Equal(t, 1, server.TokensIssued())

	server.ExpireTokens()
	const calls = 200
	errs := make(chan error, calls)
	start := make(chan struct{})
	for range calls {
		go func() {
			<-start
			_, err := client.MachineImages.Get(t.Context(), oraclemarkettest.SampleID)
			errs <- err
		}()
	}
	close(start)
	for range calls {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 2, server.TokensIssued())
}

// A token that stays refused fails the call after one attempt.
func TestRefusedForGood(t *testing.T) {
	server := oraclemarkettest.NewServer()
	defer server.Close()
	asked := 0
	tokens := oraclemarket.TokenSourceFunc(func(context.Context) (oraclemarket.Token, error) {
		asked++
		return oraclemarket.NewToken("stale", time.Time{}), nil
	})
	client, err := oraclemarket.New("u", tokens, oraclemarket.WithBaseURL(server.URL))
	require.NoError(t, err)
	_, err = client.MachineImages.Get(t.Context(), oraclemarkettest.SampleID)
	require.ErrorIs(t, err, oraclemarket.ErrUnauthorized)
	var e *oraclemarket.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 1, e.Attempts)
	require.Contains(t, err.Error(), "check the credentials")
	require.Equal(t, 2, asked, "at first, and once more after the refusal")
	require.Equal(t, 1, server.Count(oraclemarkettest.OpGet))
}

// No other host sees the bearer token or the user id, wherever a redirect
// leads and however often.
func TestRedirectsGetNoCredentials(t *testing.T) {
	other := oraclemarkettest.NewServer()
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, location := range map[string]string{
			"other host":        other.URL + "/appstore/publisher/v1/machineimages/1?token=zzz",
			"other host name":   strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/x",
			"same host, a path": "/appstore/publisher/v1/machineimages/2",
		} {
			server := oraclemarkettest.NewServer()
			client := server.Client(oraclemarket.WithRetry(3, time.Millisecond, time.Millisecond))
			server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpGet, Status: status, Header: http.Header{"Location": {location}}, Times: -1})
			server.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Status: status, Header: http.Header{"Location": {location}}, Times: -1})
			_, err := client.MachineImages.Get(t.Context(), 1)
			require.ErrorContains(t, err, "redirects to", name)
			require.NotContains(t, err.Error(), "zzz")
			_, err = client.MachineImages.Initiate(t.Context(), &oraclemarket.InitiateUploadRequest{
				Application: "a", Version: "1", OperatingSystem: "L", FileName: "f", NumberOfChunks: 1,
			})
			require.ErrorContains(t, err, "redirects to", name)
			require.NotErrorIs(t, err, oraclemarket.ErrAmbiguous)
			require.Len(t, server.Requests(), 3, "a login and two calls: %s", name)
			server.Close()
		}
	}
	require.Empty(t, other.Requests())
}
