//go:build linux

package proxies

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

// nginxLine is a line of nginx's access log.
type nginxLine struct {
	time         time.Time // of its end
	status       string
	bytes        int64 // received
	method, path string
	cache        string
}

func nginxLog(p *proxy) []nginxLine {
	p.t.Helper()
	var lines []nginxLine
	for _, f := range p.log() {
		require.Len(p.t, f, 6)
		seconds, err := strconv.ParseFloat(f[0], 64)
		require.NoError(p.t, err)
		size, err := strconv.ParseInt(f[2], 10, 64)
		require.NoError(p.t, err)
		lines = append(lines, nginxLine{
			time.UnixMilli(int64(seconds * 1000)), f[1], size, f[3], f[4], strings.TrimPrefix(f[5], "cache="),
		})
	}
	return lines
}

// plainJob returns the job's status as a program that says nothing about caches
// sees it.
func plainJob(t *testing.T, h *http.Client, base, jobID string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v2/extension/image_replicator/jobs/"+jobID, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", imagereplicatortest.Token)
	resp, err := h.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var job struct{ Status string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&job))
	return job.Status
}

// A cache that lets clients ask for the service's own response is asked.
func TestNginxCache(t *testing.T) {
	t.Parallel()
	s := newServices(t, multiplaytest.WithJobTime(0)) // a running update locks its image
	p := start(t, "nginx", "nginx.cache.conf", s.urls()...)
	c, ctx := s.behind(p), within(t, 2*time.Minute)
	job := s.held(ctx, t, c)
	plain := newHTTP(t, nil)
	require.Equal(t, "replicate_requested", plainJob(t, plain, p.url(1), job)) // from now on the cache has it
	time.AfterFunc(jobTime, func() { s.ntt.SetStatus(job, imagereplicator.StatusReplicated) })

	copied, err := c.ntt.Jobs.Wait(ctx, job, imagereplicator.WithPollInterval(soon, soon))
	require.NoError(t, err)
	require.Equal(t, imagereplicator.StatusReplicated, copied.Status)
	require.Equal(t, "replicate_requested", plainJob(t, plain, p.url(1), job), "the cache still has it")

	other := newServices(t)
	otherProxy := start(t, "nginx", "nginx.cache.conf", other.urls()...)
	other.work(ctx, t, other.behind(otherProxy))
	for _, line := range nginxLog(otherProxy) {
		require.Contains(t, []string{"BYPASS", "-"}, line.cache, "%+v", line)
	}

	first := s.update(ctx, t, c)
	require.NotEqual(t, first, s.update(ctx, t, c))
	require.Equal(t, 2, s.multi.Processed(multiplaytest.OpUpdateCreate))
	require.True(t, slices.ContainsFunc(nginxLog(p), func(l nginxLine) bool { return l.cache == "HIT" }))
}

// A cache that ignores what requests say shows a job's end late, by no more than
// it keeps a response, and makes two equal GETs one: see the package's comment.
func TestNginxDeafCache(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.deafcache.conf", s.urls()...)
	c, ctx := s.behind(p), within(t, 2*time.Minute)

	image := newImage(2 << 20)
	_, err := c.oracle.MachineImages.Upload(ctx, image.upload(512<<10))
	require.NoError(t, err)
	s.uploaded(t, image)

	job, created := s.copy(ctx, t, c), time.Now()
	_, err = c.ntt.Jobs.Wait(ctx, job, imagereplicator.WithPollInterval(soon, soon))
	require.NoError(t, err)
	// The first response of the service itself that comes after the end is the
	// last. The cache asks for one every two seconds.
	late := slices.DeleteFunc(s.ntt.Requests(), func(r imagereplicatortest.Request) bool {
		return r.Operation != imagereplicatortest.OpGet || r.Time.Before(created.Add(jobTime))
	})
	require.LessOrEqual(t, len(late), 1)

	first := s.update(ctx, t, c)
	require.Equal(t, first, s.update(ctx, t, c))
	require.Equal(t, 1, s.multi.Processed(multiplaytest.OpUpdateCreate))
}

// A body above the limit is refused once, and the error says what to turn.
func TestNginxBodyLimit(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.bodylimit.conf", s.urls()...)
	c, ctx := s.behind(p), within(t, 2*time.Minute)
	image := newImage(8 << 20)

	_, err := c.oracle.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "whole", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: image.upload(0).File, Size: int64(len(image)),
	})
	var refused *oraclemarket.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusRequestEntityTooLarge, refused.StatusCode)
	require.Equal(t, 1, refused.Attempts)
	require.NotErrorIs(t, err, oraclemarket.ErrAmbiguous)
	require.ErrorContains(t, err, "nginx")

	req := image.upload(4 << 20)
	req.Checkpoints = oraclemarket.FileCheckpoints(t.TempDir())
	_, err = c.oracle.MachineImages.Upload(ctx, req)
	if err != nil {
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusRequestEntityTooLarge, refused.StatusCode)
		require.Equal(t, 1, refused.Attempts)
		require.ErrorContains(t, err, "ChunkSize")
		req.ChunkSize = 512 << 10
		_, err = c.oracle.MachineImages.Upload(ctx, req)
	}
	require.NoError(t, err)
	completed := 0
	for _, upload := range s.oracle.Uploads() {
		if upload.Status == oraclemarkettest.Completed {
			completed++
		}
	}
	require.Equal(t, 1, completed)
	lines := nginxLog(p)
	refusals := slices.DeleteFunc(slices.Clone(lines), func(l nginxLine) bool { return l.status != "413" })
	require.LessOrEqual(t, len(refusals), 1+2, "of two chunks and a whole file")
}

// An upload above nginx's rate adapts to it.
func TestNginxRateLimit(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.ratelimit.conf", s.urls()...)
	image := newImage(chunksPaced * 32 << 10)
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, 2*time.Minute), image.upload(32<<10))
	require.NoError(t, err)
	s.uploaded(t, image)

	n := nginxPaced(p)
	require.Greater(t, n.log(t, 5, 1+2), 0.93)
	require.Less(t, n.inVain(), 0.05)
}

// So does one that sends one chunk at a time, which learns the rate of few.
func TestNginxRateLimitOneAtATime(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.ratelimit.conf", s.urls()...)
	image := newImage(chunksPaced * 32 << 10)
	upload := image.upload(32 << 10)
	upload.Concurrency = 1
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, 2*time.Minute), upload)
	require.NoError(t, err)
	s.uploaded(t, image)

	n := nginxPaced(p)
	require.Greater(t, n.log(t, 5, 1+2), 0.92)
	require.Less(t, n.inVain(), 0.05)
}

func nginxPaced(p *proxy) paced {
	var n paced
	for _, line := range nginxLog(p) {
		n.add(line.time, line.path, line.bytes, line.status == "429")
	}
	return n
}

// A proxy that takes all bytes at once and then needs time to pass them on is no
// stall, and one that gives up on the service too early ends nothing.
func TestNginxBuffering(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.buffering.conf", s.urls()...)
	s.oracle.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: 3, Delay: time.Second})
	s.oracle.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Delay: 5 * time.Second})
	s.oracle.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpMerge, Delay: 5 * time.Second})
	image := newImage(6 << 20)
	_, err := s.behind(p).oracle.MachineImages.Upload(within(t, 2*time.Minute), image.upload(1<<20))
	require.NoError(t, err)
	s.uploaded(t, image)
	require.Zero(t, s.oracle.FaultsLeft())
	require.Equal(t, 7, s.oracle.Count(oraclemarkettest.OpUploadChunk), "the response to one came too late")
	require.Equal(t, 1, s.oracle.Count(oraclemarkettest.OpMerge))
}

// The limit for a silent proxy is an option.
func TestNginxBufferingStall(t *testing.T) {
	t.Parallel()
	const silence = 1500 * time.Millisecond
	upload := func(limit time.Duration) error {
		s := newServices(t)
		p := start(t, "nginx", "nginx.buffering.conf", s.urls()...)
		s.oracle.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpUploadChunk, Times: -1, Delay: silence})
		c := s.oracle.Client(oraclemarket.WithBaseURL(p.url(0)),
			oraclemarket.WithStallTimeout(limit), oraclemarket.WithOutageLimit(time.Second))
		_, err := c.MachineImages.Upload(within(t, 2*time.Minute), newImage(1<<20).upload(512<<10))
		return err
	}
	require.ErrorIs(t, upload(silence/3), oraclemarket.ErrStalled)
	require.NoError(t, upload(2*silence))
}

// An outage of some seconds behind a proxy ends nothing.
func TestNginxOutage(t *testing.T) {
	t.Parallel()
	const lasts = 4 * time.Second
	s := newServices(t)
	p := start(t, "nginx", "nginx.cache.conf", s.urls()...)
	c, ctx := s.behind(p), within(t, 2*time.Minute)

	began := false
	waits := make(chan error, 2)
	ended := make(chan struct{})
	image := newImage(4 << 20)
	req := image.upload(64 << 10)
	req.Concurrency = 16
	req.Progress = func(now oraclemarket.UploadProgress) {
		if now.Chunks < 8 || began {
			return
		}
		began = true
		job, update := s.copy(ctx, t, c), s.update(ctx, t, c)
		end := s.goDown()
		time.AfterFunc(lasts, func() {
			defer close(ended)
			end()
		})
		go func() {
			_, err := c.ntt.Jobs.Wait(ctx, job, imagereplicator.WithPollInterval(soon, soon))
			waits <- err
		}()
		go func() {
			_, err := c.multi.ImageUpdates.Wait(ctx, update, multiplay.WithPollInterval(soon, soon))
			waits <- err
		}()
	}
	_, err := c.oracle.MachineImages.Upload(ctx, req)
	require.NoError(t, err)
	<-ended
	require.NoError(t, <-waits)
	require.NoError(t, <-waits)
	s.uploaded(t, image)
	require.Equal(t, 1, s.oracle.Count(oraclemarkettest.OpInitiate))

	lost := slices.DeleteFunc(nginxLog(p), func(l nginxLine) bool { return !strings.HasSuffix(l.path, "/chunk") || l.status == "200" })
	t.Logf("%d chunk requests lost in an outage of %s", len(lost), lasts)
	require.NotEmpty(t, lost)
	require.LessOrEqual(t, len(lost), 16+8, "those under way, and a few that probe")
}

// A create behind a proxy that cannot reach the service may have been carried
// out, for all that a 502 says.
func TestNginxOutageCreate(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	p := start(t, "nginx", "nginx.cache.conf", s.urls()...)
	end := s.multi.StartOutage(multiplaytest.Outage{})
	err := once(s.behind(p))["multiplay"](within(t, 2*time.Minute))
	end()
	require.ErrorIs(t, err, multiplay.ErrAmbiguous)
	require.ErrorContains(t, err, "nginx")
	require.Len(t, p.log(), 1)
}

// A create that takes longer than the proxy waits is found again, and not
// repeated.
func TestNginxLostCreates(t *testing.T) {
	t.Parallel()
	const long = 5 * time.Second // the proxy waits for four
	s := newServices(t)
	p := start(t, "nginx", "nginx.buffering.conf", s.urls()...)
	s.oracle.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpInitiate, Delay: long})
	s.ntt.Inject(imagereplicatortest.Fault{Operation: imagereplicatortest.OpCreate, Delay: long})
	s.multi.Inject(multiplaytest.Fault{Operation: multiplaytest.OpDiffCreate, Delay: long})
	s.work(within(t, 2*time.Minute), t, s.behind(p))
	require.Zero(t, s.oracle.FaultsLeft()+s.ntt.FaultsLeft()+s.multi.FaultsLeft())
}
