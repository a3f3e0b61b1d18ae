package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/outage"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// maxInitiate is how long one initiate call may take, with the token that it
// may wait for, its attempts, and a first chunk on a slow line.
const maxInitiate = time.Hour

// initiate gets an upload request and leaves exactly one on the service. The
// checkpoint goes first, so that the next call knows of a request whose response
// this one did not live to see.
func (u *upload) initiate(ctx context.Context) error {
	var arrived time.Time // the last moment at which a lost request can have
	lost := u.resumed     // an earlier call may have come through
	u.mayExist = lost
	withFirst := u.service.wantsFirst.Load()
	if lost {
		arrived = u.lastArrival()
	}
	rule := outage.Rule{Limit: u.service.outageLimit}
	for {
		if lost {
			if found, err := u.adoptLost(ctx, arrived); found || err != nil {
				return err
			}
		}
		if err := u.saveInitiate(ctx, withFirst); err != nil {
			return err
		}
		created, err := u.requestUpload(ctx)
		ended, cause := time.Now(), err
		ambiguous := errors.Is(err, ErrAmbiguous)
		u.mayExist = u.mayExist || ambiguous || ctx.Err() != nil && attempts(err) > 0
		switch {
		case err == nil:
			u.resumed = false
			u.service.wantsFirst.Store(u.state.First != "")
			return u.take(ctx, created.EntityID)
		case errors.Is(err, ErrBadRequest) && u.state.First == "":
			// Nothing was created. The documentation's text has this call upload the
			// first chunk, its sample does not: this service may insist on it.
			withFirst = true
			continue
		case ctx.Err() != nil:
			return err // the checkpoint stays: the request may have come through
		case ambiguous:
			lost, arrived, cause = true, ended, ErrTransient // unless List has it
		case !IsTransient(err) && lost:
			return err // the checkpoint stays: the list may have lagged
		case !IsTransient(err):
			return errors.Join(err, u.forget(ctx))
		}
		left, goOn := rule.Left(ctx, cause, false)
		if ambiguous {
			if found, searchErr := u.adoptLost(ctx, arrived); found || searchErr != nil {
				return after(searchErr, err)
			}
		}
		left -= time.Since(ended)
		if !goOn || left <= 0 {
			return err
		}
		if sleepErr := transport.Sleep(ctx, min(left, rule.Pause(retryAfter(err))-time.Since(ended))); sleepErr != nil {
			return after(sleepErr, err)
		}
	}
}

// lastArrival returns the last moment at which the initiate request of an
// earlier call can have reached the service.
func (u *upload) lastArrival() time.Time {
	now := time.Now()
	if latest := u.state.LastInitiateAt.Add(maxInitiate); latest.Before(now) {
		return latest
	}
	return now
}

// saveInitiate prepares an initiate call, one with the first chunk if an earlier
// one had it, or if withFirst says so.
func (u *upload) saveInitiate(ctx context.Context, withFirst bool) error {
	if withFirst || u.state.First != "" {
		if err := u.hashFirst(ctx); err != nil {
			return err
		}
	}
	u.state.LastInitiateAt = time.Now().UTC()
	if u.state.InitiatedAt.IsZero() {
		u.state.InitiatedAt = u.state.LastInitiateAt
	}
	return u.save(ctx, phaseInitiating)
}

func (u *upload) requestUpload(ctx context.Context) (*Acknowledgement, error) {
	req := &InitiateUploadRequest{
		Application: u.req.Application, Version: u.req.Version, OperatingSystem: u.req.OperatingSystem,
		OverwriteStorageFile: u.req.OverwriteStorageFile, FileName: u.req.FileName,
		NumberOfChunks: u.chunks(),
	}
	if u.state.First != "" {
		_, req.Size = u.span(0)
		req.File = u.limited(ctx, io.NewSectionReader(u.source.file, 0, req.Size))
		if !u.req.DisableChecksum {
			req.MD5 = u.state.First
		}
	}
	return u.service.Initiate(ctx, req)
}

// hashFirst has the first chunk go with the initiate call. One that went with a
// lost call before has to be the same.
func (u *upload) hashFirst(ctx context.Context) error {
	offset, size := u.span(0)
	if err := u.source.hold(ctx, size); err != nil {
		return err
	}
	sum, err := u.source.proof(ctx, offset, size)
	if err == nil && u.state.First != "" && u.state.First != sum {
		err = sourceChanged("the hash of its first chunk was %s and is %s", u.state.First, sum)
	}
	u.state.First = sum
	return err
}

// take continues with the upload request of that id. A first chunk that went
// with the call is acknowledged if the service counts it, and sent again
// otherwise.
func (u *upload) take(ctx context.Context, id int64) error {
	u.state.UploadRequestID, u.mayExist = id, false
	if !u.claim(id) {
		return fmt.Errorf("%s: upload request %d: %w: another upload of this client has taken it over", pkg, id, ErrAmbiguous)
	}
	if u.state.First == "" {
		return u.save(ctx, phaseUploading)
	}
	if err := u.save(ctx, phaseUploading); err != nil {
		return err
	}
	now, err := u.service.Get(ctx, id)
	if ctx.Err() != nil {
		return transport.ContextErr(ctx)
	}
	if counts := err == nil && now.UploadedChunks > 0; !counts { // it may lag
		return nil
	}
	// In a call before this one it was of the file of that time.
	u.proven = !u.resumed || u.state.Identity != "" && u.state.Identity == u.source.identity
	u.done.add(0)
	u.state.Digest.add(u.state.FirstChunk, u.state.First)
	return u.save(ctx, phaseUploading)
}

// claim reports whether no other upload of the client uses the upload request,
// and keeps them from it. Two of one image cannot be told apart in a list.
func (u *upload) claim(id int64) bool {
	if id == 0 {
		return true
	}
	by, _ := u.service.uploading.LoadOrStore(id, u)
	return by == u
}

// release ends what claim began.
func (u *upload) release() {
	u.service.uploading.Range(func(id, by any) bool {
		if by == u {
			u.service.uploading.Delete(id)
		}
		return true
	})
}

// attempts returns how many requests were sent.
func attempts(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Attempts
	}
	return 0
}

// retryAfter returns how long the service asks to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// after returns err with the failure that came before it. nil stays nil.
func after(err, before error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w, after: %w", err, before)
}
