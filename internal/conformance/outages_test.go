package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/internal/transport"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// work is something that an outage meets. run does it, and has the rig begin the
// outage in the middle.
type work struct {
	name  string
	login bool   // only the login service goes away
	state string // the last one known, in the error of an outage past the limit
	run   func(context.Context, *outageRig) error
}

const beforeOutage = time.Minute

func works() []work {
	list := []work{
		{name: "`imagereplicator`: Wait", state: `last status "replicate_requested"`, run: waitReplicator},
		{name: "`imagereplicator`: Wait, its first poll", state: "no status seen", run: func(ctx context.Context, r *outageRig) error {
			c := r.replicatorClient(r.replicator(longJob))
			id, err := createCopy(ctx, c)
			if err != nil {
				return err
			}
			r.begin()
			_, err = c.Jobs.Wait(ctx, id)
			return err
		}},
		{name: "`imagereplicator`: WaitAll for 3", state: "waiting for 3 of 3 jobs", run: waitAllReplicator},
		{name: "`oraclemarket`: Wait", state: `last status "Pending"`, run: waitOracle},
		{name: "`oraclemarket`: WaitAll for 3", state: "waiting for 3 of 3 upload requests", run: waitAllOracle},
		{name: "`multiplay`: Wait", state: `last status "Pending"`, run: waitMultiplay},
		{name: "Release, at its beginning", state: "stopped at step update", run: release("")},
		{name: "Release, in step update", state: "stopped at step update", run: release(multiplay.StepUpdate)},
		{name: "Release, in step diff", state: "stopped at step diff", run: release(multiplay.StepDiff)},
		{name: "Release, in step version", state: "stopped at step version", run: release(multiplay.StepVersion)},
		{name: "Release, in step rollout", state: "machines pending", run: release(multiplay.StepRollout)},
		{name: "Upload, at its beginning", run: func(ctx context.Context, r *outageRig) error {
			_, c := r.oracle(0)
			r.begin()
			_, err := c.MachineImages.Upload(ctx, outageImage("image.tar.gz", 3, 1))
			return err
		}},
		{name: "Upload, 1 chunk at once", state: " of 4 chunks", run: upload(1, 4, 1)},
		{name: "Upload, 16 chunks at once", state: " of 48 chunks", run: upload(1, 48, 16)},
		{name: "Upload, 64 chunks at once", state: " of 192 chunks", run: upload(1, 192, 64)},
		{name: "16 uploads of one client", state: " of 12 chunks", run: upload(16, 12, 4)},
		{name: "Upload, its merge", state: "after 3 of 3 chunks", run: mergeUpload},
		{name: "`imagereplicator`: Wait, its login", login: true, state: `last status "replicate_requested"`, run: waitLogin},
		{name: "`oraclemarket`: Wait, its login", login: true, state: `last status "Pending"`, run: waitOracle},
		{name: "Upload, 16 chunks at once, its login", login: true, state: " of 48 chunks", run: upload(1, 48, 16)},
	}
	return list
}

func waitReplicator(ctx context.Context, r *outageRig) error {
	c := r.replicatorClient(r.replicator(longJob))
	id, err := createCopy(ctx, c)
	if err != nil {
		return err
	}
	r.arm(beforeOutage, r.begin)
	_, err = c.Jobs.Wait(ctx, id)
	return err
}

func createCopy(ctx context.Context, c *imagereplicator.Client) (string, error) {
	return c.Jobs.Create(ctx, &imagereplicator.CreateJobRequest{
		ImageID: imagereplicatortest.ImageID, DestinationTenantID: imagereplicatortest.DestinationTenantID,
	})
}

func waitAllReplicator(ctx context.Context, r *outageRig) error {
	c := r.replicatorClient(r.replicator(longJob))
	ids := make([]string, 3)
	for i := range ids {
		var err error
		if ids[i], err = createCopy(ctx, c); err != nil {
			return err
		}
	}
	r.arm(beforeOutage, r.begin)
	states, err := c.Jobs.WaitAll(ctx, ids)
	for _, state := range states {
		require.NotNil(r.t, state, "the last states come with the error")
	}
	return err
}

func waitLogin(ctx context.Context, r *outageRig) error {
	s := r.replicator(longJob)
	session, err := keystone.New(ctx, keystone.Options{
		AuthURL: loginURL + "/v3", APIKey: s.APIKey, APISecret: s.APISecret, TenantID: imagereplicatortest.TenantID,
		Region: imagereplicatortest.Region, HTTPClient: r.client, InsecureHTTP: true,
	})
	if err != nil {
		return err
	}
	c, err := session.Client()
	if err != nil {
		return err
	}
	id, err := createCopy(ctx, c)
	if err != nil {
		return err
	}
	r.arm(beforeOutage, func() {
		s.ExpireTokens()
		r.begin()
	})
	_, err = c.Jobs.Wait(ctx, id)
	return err
}

func waitOracle(ctx context.Context, r *outageRig) error {
	s, c := r.oracle(longJob)
	id, err := createImage(ctx, c)
	if err != nil {
		return err
	}
	r.arm(beforeOutage, func() {
		s.ExpireTokens()
		r.begin()
	})
	_, err = c.MachineImages.Wait(ctx, id)
	return err
}

func waitAllOracle(ctx context.Context, r *outageRig) error {
	_, c := r.oracle(longJob)
	ids := make([]int64, 3)
	for i := range ids {
		var err error
		if ids[i], err = createImage(ctx, c); err != nil {
			return err
		}
	}
	r.arm(beforeOutage, r.begin)
	states, err := c.MachineImages.WaitAll(ctx, ids)
	for _, state := range states {
		require.NotNil(r.t, state, "the last states come with the error")
	}
	return err
}

func createImage(ctx context.Context, c *oraclemarket.Client) (int64, error) {
	created, err := c.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: "image.tar.gz",
		File: strings.NewReader("content"), Size: 7,
	})
	if err != nil {
		return 0, err
	}
	return created.EntityID, nil
}

func waitMultiplay(ctx context.Context, r *outageRig) error {
	c := r.multiplay(longJob)
	id, err := createUpdate(ctx, c)
	if err != nil {
		return err
	}
	r.arm(beforeOutage, r.begin)
	_, err = c.ImageUpdates.Wait(ctx, id)
	return err
}

func createUpdate(ctx context.Context, c *multiplay.Client) (int64, error) {
	update, err := c.ImageUpdates.Create(ctx, &multiplay.CreateImageUpdateRequest{
		ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "build 42", Source: outageSource(),
	})
	if err != nil {
		return 0, err
	}
	return update.UpdateID, nil
}

func outageSource() multiplay.Source {
	return multiplay.S3Source{AccessKey: multiplay.NewSecret(keyID), SecretKey: multiplay.NewSecret("secret"), Bucket: "bucket"}
}

// release begins the outage as soon as the step's job was created, or before
// anything was done.
func release(step multiplay.ReleaseStep) func(context.Context, *outageRig) error {
	return func(ctx context.Context, r *outageRig) error {
		c := r.multiplay(beforeOutage)
		if step == "" {
			r.begin()
		}
		_, err := c.Release(ctx, &multiplay.ReleaseRequest{
			ImageID: multiplaytest.ImageID, GameID: multiplaytest.GameID, MachineID: multiplaytest.MachineID,
			Description: "build 42", Source: outageSource(),
			OnEvent: func(e multiplay.ReleaseEvent) {
				if e.Step == step {
					r.begin()
				}
			},
		})
		return err
	}
}

func upload(uploads, chunks, atOnce int) func(context.Context, *outageRig) error {
	return func(ctx context.Context, r *outageRig) error {
		s, c := r.oracle(0)
		slowChunks(s)
		time.AfterFunc(1500*time.Millisecond, func() {
			s.ExpireTokens()
			r.begin()
		})
		errs := make([]error, uploads)
		var all sync.WaitGroup
		for i := range uploads {
			all.Go(func() {
				_, errs[i] = c.MachineImages.Upload(ctx, outageImage(fmt.Sprintf("image-%d.tar.gz", i), chunks, atOnce))
			})
		}
		all.Wait()
		for _, err := range errs {
			require.Equal(r.t, errs[0] == nil, err == nil, "%v", err) // all or none
		}
		return errs[0]
	}
}

func mergeUpload(ctx context.Context, r *outageRig) error {
	_, c := r.oracle(0)
	image := outageImage("image.tar.gz", 3, 1)
	image.Progress = func(p oraclemarket.UploadProgress) {
		if p.Chunks == p.TotalChunks {
			r.begin()
		}
	}
	_, err := c.MachineImages.Upload(ctx, image)
	return err
}

// lengths are those of the outages.
func lengths() []time.Duration {
	return []time.Duration{time.Second, 10 * time.Second, time.Minute, 4 * time.Minute, 6 * time.Minute}
}

// Up to the limit no outage ends anything, whatever it meets and however it
// shows; past it each ends everything, with the reason and the last state.
func TestOutages(t *testing.T) {
	rows := make([]string, len(works()))
	t.Run("all", func(t *testing.T) {
		for i, w := range works() {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				row := []string{w.name}
				for j, lasts := range lengths() {
					var worst measured
					for k, how := range waysAway() {
						if leftOut(i+j, k) {
							continue
						}
						t.Run(fmt.Sprintf("%s, %s", lasts, how.name), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								worst = worst.or(meet(t, &w, how, lasts))
							})
						})
					}
					row = append(row, worst.String())
				}
				rows[i] = "| " + strings.Join(row, " | ") + " |"
			})
		}
	})
	if !t.Failed() {
		checkOutageTable(t, rows)
	}
}

// measured is what came of an outage.
type measured struct {
	during, after int           // requests
	ended         time.Duration // after so long, 0 for not
}

func (m measured) or(n measured) measured {
	return measured{max(m.during, n.during), max(m.after, n.after), max(m.ended, n.ended)}
}

func (m measured) String() string {
	if m.ended > 0 {
		return fmt.Sprintf("%d, ends after %s", m.during, m.ended.Round(time.Second))
	}
	return fmt.Sprintf("%d + %d", m.during, m.after)
}

// meet has an outage meet the work.
func meet(t *testing.T, w *work, how away, lasts time.Duration) measured {
	t.Helper()
	r := newOutageRig(t, how, lasts, w.login)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errNotInTime)
	defer cancel()
	err := w.run(ctx, r)
	m := measured{}
	took := time.Since(r.began)
	m.during, m.after = r.requests()
	t.Logf("%d requests in the outage, %d in the first second after it, done after %s: %v", m.during, m.after, took, err)
	require.Positive(t, m.during)
	if lasts < outageLimit {
		require.NoError(t, err)
		require.LessOrEqual(t, took, max(longJob+time.Minute, lasts+how.asks()+4*time.Minute))
		return m
	}
	m.ended = took
	require.Error(t, err)
	require.NotErrorIs(t, err, errNotInTime)
	require.ErrorContains(t, err, how.reason)
	require.ErrorContains(t, err, w.state)
	require.True(t, transport.IsTransient(err) || errors.Is(err, transport.ErrAmbiguous), "%v", err)
	require.GreaterOrEqual(t, took, outageLimit)
	require.Less(t, took, lasts, "it ended while the outage was on")
	return m
}

// checkOutageTable compares the rows with those of the README. Pauses have
// jitter, so no two runs count the same.
func checkOutageTable(t *testing.T, rows []string) {
	t.Helper()
	const begin, end = "<!-- begin outages -->\n", "<!-- end outages -->\n"
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	table, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		head := "| an outage of | 1 s | 10 s | 1 min | 4 min | 6 min |\n|" + strings.Repeat(" --- |", 6) + "\n"
		table = "\n" + head + strings.Join(rows, "\n") + "\n\n"
		require.NoError(t, os.WriteFile("README.md", []byte(before+begin+table+end+after), 0o644))
		return
	}
	var written []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| an outage of") && !strings.HasPrefix(line, "| --- ") {
			written = append(written, strings.TrimSpace(line))
		}
	}
	require.Len(t, rows, len(written))
	for i := range rows {
		now, then := strings.Split(rows[i], " | "), strings.Split(written[i], " | ")
		require.Equal(t, now[0], then[0])
		for j := 1; j < len(now); j++ {
			a, b := figures(now[j]), figures(then[j])
			require.Len(t, a, len(b), "%s: %s", then[0], then[j])
			for k := range a {
				require.LessOrEqual(t, a[k], b[k]*3/2+6, "%s: %s, the README has %s", now[0], now[j], then[j])
				if !partial {
					require.GreaterOrEqual(t, a[k]*3/2+6, b[k], "%s: %s, the README has %s", now[0], now[j], then[j])
				}
			}
		}
	}
}

// figures returns the numbers in a cell, durations in seconds.
func figures(cell string) []int {
	var list []int
	for word := range strings.FieldsFuncSeq(cell, func(c rune) bool { return c == ' ' || c == ',' || c == '+' || c == '|' }) {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		} else if d, err := time.ParseDuration(word); err == nil {
			list = append(list, int(d.Seconds()))
		}
	}
	return list
}
