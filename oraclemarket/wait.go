package oraclemarket

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// Wait polls the upload request until it has ended and returns its last state.
// If it ended badly, the error is a [*StateError].
//
// Wait runs until ctx is done. It rides out transient failures for the outage
// limit, see [WithOutageLimit]. For half a minute it also rides out a 404, as a
// new upload request may not be visible yet. An error names the last status
// known, and is returned with the last state seen, nil if there was none.
func (s *MachineImagesService) Wait(ctx context.Context, uploadRequestID int64, opts ...WaitOption) (*MachineImageUploadRequest, error) {
	job, err := s.job(uploadRequestID, opts)
	if err != nil {
		return nil, err
	}
	return poll.Wait(ctx, job)
}

// Watch polls the upload request and yields its state, then again whenever it
// has changed, and ends with the request. If that ended badly, Watch yields its
// last state and then a [*StateError]. Any error ends the sequence and comes
// with the last state seen, nil if there was none. Failures are ridden out as by
// [MachineImagesService.Wait].
func (s *MachineImagesService) Watch(ctx context.Context, uploadRequestID int64, opts ...WaitOption) iter.Seq2[*MachineImageUploadRequest, error] {
	return func(yield func(*MachineImageUploadRequest, error) bool) {
		job, err := s.job(uploadRequestID, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		poll.Watch(ctx, job)(yield)
	}
}

// WaitDeleted polls the upload request until its image is deleted from all data
// centers, as [MachineImagesService.DeleteEverywhere] requests, and returns its
// last state. If that is Deletion Failed, the error is a [*StateError]; any other
// state is polled again. A request that the service has not known for half a
// minute counts as deleted; its last state is nil if none was seen. Other
// failures are ridden out as by [MachineImagesService.Wait].
func (s *MachineImagesService) WaitDeleted(ctx context.Context, uploadRequestID int64, opts ...WaitOption) (*MachineImageUploadRequest, error) {
	job, err := s.job(uploadRequestID, opts)
	if err != nil {
		return nil, err
	}
	job.Done = func(r *MachineImageUploadRequest) bool {
		return r.StatusName == StatusDeleted || r.StatusName == StatusDeletionFailed
	}
	job.Failed = func(r *MachineImageUploadRequest) error {
		if r.StatusName == StatusDeletionFailed {
			return stateError(r)
		}
		return nil
	}
	last, err := poll.Wait(ctx, job)
	if isGone(err) {
		return last, nil
	}
	return last, err
}

// singly returns the service for callers that repeat what fails.
func (s *MachineImagesService) singly() *MachineImagesService {
	one := *s
	one.client = s.client.SingleAttempts()
	return &one
}

func (s *MachineImagesService) job(id int64, opts []WaitOption) (*poll.Job[*MachineImageUploadRequest], error) {
	o, err := pollOptions(opts)
	if err == nil {
		err = checkID(id)
	}
	s = s.singly()
	return &poll.Job[*MachineImageUploadRequest]{
		Options: o,
		Package: pkg,
		Name:    fmt.Sprintf("upload request %d", id),
		Outage:  s.outageLimit,
		Get: func(ctx context.Context) (*MachineImageUploadRequest, time.Duration, error) {
			return s.get(ctx, id)
		},
		Status: (*MachineImageUploadRequest).status,
		Done:   (*MachineImageUploadRequest).done,
		Failed: (*MachineImageUploadRequest).failed,
		Same:   (*MachineImageUploadRequest).same,
	}, err
}

func (r *MachineImageUploadRequest) status() string { return string(r.StatusName) }
func (r *MachineImageUploadRequest) done() bool     { return r.StatusName.Terminal() }

func (r *MachineImageUploadRequest) failed() error {
	if r.StatusName.failed() {
		return stateError(r)
	}
	return nil
}

func (r *MachineImageUploadRequest) same(newer *MachineImageUploadRequest) bool {
	return reflect.DeepEqual(r, newer)
}

func stateError(r *MachineImageUploadRequest) *StateError {
	var reasons []string
	for _, d := range r.DataCenterImageUploadRequests {
		if d.StatusName != "" && d.StatusName != StatusCompleted {
			reasons = append(reasons, fmt.Sprintf("%s: %s at %s", d.DataCenterName, d.StatusName, d.UploadProgress))
		}
	}
	return &StateError{UploadRequestID: r.UploadRequestID, Status: r.StatusName, Reason: strings.Join(reasons, ", ")}
}
