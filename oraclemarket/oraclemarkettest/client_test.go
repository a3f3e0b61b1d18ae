package oraclemarkettest_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestClient(t *testing.T) {
	s := oraclemarkettest.NewServer()
	defer s.Close()
	client := s.Client()
	image := "the image"
	ack, err := client.MachineImages.Create(t.Context(), &oraclemarket.CreateMachineImageRequest{
		Application: "app", Version: "1.0", OperatingSystem: "linux", FileName: "größe.tar.gz",
		File: strings.NewReader(image), Size: int64(len(image)), MD5: md5Of(image),
	})
	require.NoError(t, err)
	require.Equal(t, "OK", ack.Message)
	require.Equal(t, 1, s.TokensIssued())
	require.Len(t, s.Uploads(), 1)
	require.Equal(t, "größe.tar.gz", s.Uploads()[0].FileName)
	require.Equal(t, "partner@example.com", s.Uploads()[0].User)
	require.Panics(t, func() { s.Client(oraclemarket.WithBaseURL("nonsense")) })
}

func TestStart(t *testing.T) {
	s, err := oraclemarkettest.Start("127.0.0.1:0")
	require.NoError(t, err)
	defer s.Close()
	_, err = oraclemarkettest.Start(strings.TrimPrefix(s.URL, "http://"))
	var opError *net.OpError
	require.ErrorAs(t, err, &opError)
	require.ErrorContains(t, err, "oraclemarkettest: ")
}

// In a bubble an hour of job time takes no real time.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := emulator.NewPipeListener()
		s := oraclemarkettest.NewServer(oraclemarkettest.WithListener(pipe), oraclemarkettest.WithJobTime(time.Hour))
		defer s.Close()
		transport := &http.Transport{DialContext: pipe.DialContext}
		defer transport.CloseIdleConnections()
		client := s.Client(oraclemarket.WithHTTPClient(&http.Client{Transport: transport}))
		began := time.Now()
		image := strings.Repeat("image", 1000)
		done, err := client.MachineImages.Upload(t.Context(), &oraclemarket.ImageUpload{
			Application: "app", Version: "1.0", OperatingSystem: "linux", FileName: "image.tar.gz",
			File: strings.NewReader(image), Size: int64(len(image)), ChunkSize: 1000,
		})
		require.NoError(t, err)
		require.Equal(t, oraclemarket.StatusCompleted, done.StatusName)
		require.GreaterOrEqual(t, time.Since(began), time.Hour)
		sum, err := s.Uploads()[0].MD5()
		require.NoError(t, err)
		require.Equal(t, md5Of(image), sum)
	})
}
