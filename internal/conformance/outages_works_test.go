package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/imagereplicator/imagereplicatortest"
	"github.com/imagejobs/imagejobs-go/imagereplicator/keystone"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// work is what an outage interrupts. run does it, and has the rig begin the
// outage in the middle.
type work struct {
	name  string
	login bool   // only the login service goes away
	state string // the last one known, in the error of an outage past the limit
	run   func(*outageRig) error
}

const beforeOutage = time.Minute

func works() []work {
	return []work{
		{name: "`imagereplicator`: Wait", state: `last status "replicate_requested"`, run: waitReplicator},
		{name: "`imagereplicator`: Wait, its first poll", state: "no status seen", run: func(r *outageRig) error {
			ctx := r.ctx()
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
		{name: "Upload, at its beginning", run: func(r *outageRig) error {
			ctx := r.ctx()
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
		{name: "Upload, 1 chunk at once, its login", login: true, state: " of 4 chunks", run: upload(1, 4, 1)},
		{name: "Upload, 16 chunks at once, its login", login: true, state: " of 48 chunks", run: upload(1, 48, 16)},
		{name: "Upload, 64 chunks at once, its login", login: true, state: " of 192 chunks", run: upload(1, 192, 64)},
	}
}

func waitReplicator(r *outageRig) error {
	ctx := r.ctx()
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

func waitAllReplicator(r *outageRig) error {
	ctx := r.ctx()
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

func waitLogin(r *outageRig) error {
	ctx := r.ctx()
	s := r.replicator(longJob)
	session, err := keystone.New(ctx, keystone.Options{
		AuthURL: loginURL + "/v3", Credentials: keystone.APIKey(s.APIKey, s.APISecret), TenantID: imagereplicatortest.TenantID,
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

func waitOracle(r *outageRig) error {
	ctx := r.ctx()
	s, c := r.oracle(longJob)
	id, err := createImage(ctx, c, 0)
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

func waitAllOracle(r *outageRig) error {
	ctx := r.ctx()
	_, c := r.oracle(longJob)
	ids := make([]int64, 3)
	for i := range ids {
		var err error
		if ids[i], err = createImage(ctx, c, i); err != nil {
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

func createImage(ctx context.Context, c *oraclemarket.Client, n int) (int64, error) {
	created, err := c.MachineImages.Create(ctx, &oraclemarket.CreateMachineImageRequest{
		Application: "app", Version: "1.0", OperatingSystem: "Linux", FileName: fmt.Sprintf("image%d.tar.gz", n),
		File: strings.NewReader("content"), Size: 7,
	})
	if err != nil {
		return 0, err
	}
	return created.EntityID, nil
}

func waitMultiplay(r *outageRig) error {
	ctx := r.ctx()
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
func release(step multiplay.ReleaseStep) func(*outageRig) error {
	return func(r *outageRig) error {
		ctx := r.ctx()
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

func upload(uploads, chunks, atOnce int) func(*outageRig) error {
	return func(r *outageRig) error {
		ctx := r.ctx()
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

func mergeUpload(r *outageRig) error {
	ctx := r.ctx()
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
