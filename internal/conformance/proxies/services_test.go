//go:build linux

package proxies

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// jobTime is how long a job of the services takes, and soon how often it is
// polled.
const (
	jobTime = time.Second
	soon    = 100 * time.Millisecond
)

// services are the three services.
type services struct {
	oracle *oraclemarkettest.Server
	ntt    *imagereplicatortest.Server
	multi  *multiplaytest.Server
}

// newServices starts the services, Multiplay with more options.
func newServices(t *testing.T, opts ...multiplaytest.Option) *services {
	t.Helper()
	s := &services{
		oracle: oraclemarkettest.NewServer(oraclemarkettest.WithJobTime(jobTime)),
		ntt:    imagereplicatortest.NewServer(imagereplicatortest.WithJobTime(jobTime)),
		multi:  multiplaytest.NewServer(append([]multiplaytest.Option{multiplaytest.WithJobTime(jobTime)}, opts...)...),
	}
	t.Cleanup(s.oracle.Close)
	t.Cleanup(s.ntt.Close)
	t.Cleanup(s.multi.Close)
	return s
}

// urls are the services' own, in the order of a proxy's sites.
func (s *services) urls() []string { return []string{s.oracle.URL, s.ntt.URL, s.multi.URL} }

// goDown refuses connections to all of them until up is called.
func (s *services) goDown() (up func()) {
	oracle := s.oracle.StartOutage(oraclemarkettest.Outage{})
	ntt := s.ntt.StartOutage(imagereplicatortest.Outage{})
	multi := s.multi.StartOutage(multiplaytest.Outage{})
	return func() {
		oracle()
		ntt()
		multi()
	}
}

// clients are a client of each service.
type clients struct {
	oracle *oraclemarket.Client
	ntt    *imagereplicator.Client
	multi  *multiplay.Client
}

// clients returns clients that send to urls, through h unless it is nil.
func (s *services) clients(h *http.Client, urls ...string) clients {
	return clients{
		oracle: s.oracle.Client(oraclemarket.WithBaseURL(urls[0]), oraclemarket.WithHTTPClient(h)),
		ntt:    s.ntt.Client(imagereplicator.WithBaseURL(urls[1]), imagereplicator.WithHTTPClient(h)),
		multi:  s.multi.Client(multiplay.WithBaseURL(urls[2]), multiplay.WithHTTPClient(h)),
	}
}

// behind returns clients that send to the sites of a proxy.
func (s *services) behind(p *proxy) clients {
	return s.clients(nil, p.url(0), p.url(1), p.url(2))
}

// work uploads an image, copies one and releases one, each once.
func (s *services) work(ctx context.Context, t *testing.T, c clients) {
	t.Helper()
	image := newImage(4 << 20)
	_, err := c.oracle.MachineImages.Upload(ctx, image.upload(1<<20))
	require.NoError(t, err)
	s.uploaded(t, image)
	job := s.copy(ctx, t, c)
	copied, err := c.ntt.Jobs.Wait(ctx, job, imagereplicator.WithPollInterval(soon, soon))
	require.NoError(t, err)
	require.Equal(t, imagereplicator.StatusReplicated, copied.Status)
	released, err := c.multi.Release(ctx, &multiplay.ReleaseRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, GameID: multiplaytest.GameID,
		Description: "nightly", Source: files(),
	}, multiplay.WithPollInterval(soon, soon))
	require.NoError(t, err)
	require.Equal(t, s.multi.Versions()[0].ID, released.ImageVersionID)
	require.Equal(t, 1, s.ntt.Processed(imagereplicatortest.OpCreate))
	require.Len(t, s.multi.Updates(), 1)
	require.Len(t, s.multi.Versions(), 1)
}

// files returns where a build is.
func files() multiplay.Source {
	return multiplay.S3Source{Bucket: "builds", AccessKey: multiplay.NewSecret("key"), SecretKey: multiplay.NewSecret("secret")}
}

// update makes an image update.
func (s *services) update(ctx context.Context, t *testing.T, c clients) (id int64) {
	t.Helper()
	update, err := c.multi.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "nightly", Source: files(),
	})
	require.NoError(t, err)
	return update.UpdateID
}

// copy makes a copy job.
func (s *services) copy(ctx context.Context, t *testing.T, c clients) (jobID string) {
	t.Helper()
	id, err := c.ntt.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
	require.NoError(t, err)
	return id
}

// held makes a copy job that does not begin before its status is set.
func (s *services) held(ctx context.Context, t *testing.T, c clients) (jobID string) {
	t.Helper()
	id := s.copy(ctx, t, c)
	require.True(t, s.ntt.SetStatus(id, imagereplicator.StatusReplicateRequested))
	return id
}

// uploaded checks that the service has the image, by one upload request.
func (s *services) uploaded(t *testing.T, i image) oraclemarkettest.Upload {
	t.Helper()
	uploads := s.oracle.Uploads()
	require.Len(t, uploads, 1)
	got, err := uploads[0].MD5()
	require.NoError(t, err)
	want := md5.Sum(i)
	require.Equal(t, hex.EncodeToString(want[:]), got)
	return uploads[0]
}

// image is the content of one.
type image []byte

func newImage(size int) image {
	i := make(image, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(i)
	return i
}

func (i image) upload(chunkSize int64) *oraclemarket.ImageUpload {
	return &oraclemarket.ImageUpload{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: bytes.NewReader(i), Size: int64(len(i)), ChunkSize: chunkSize,
		WaitOptions: []oraclemarket.WaitOption{oraclemarket.WithPollInterval(soon, soon)},
	}
}

// newHTTP returns a client through a proxy, unless that is nil, whose
// connections end with the test.
func newHTTP(t *testing.T, via *url.URL) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	if via != nil {
		transport.Proxy = http.ProxyURL(via)
	}
	return keepUntilEnd(t, transport)
}

func keepUntilEnd(t *testing.T, transport *http.Transport) *http.Client {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// within returns a context for what takes some seconds, more on a busy machine.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
