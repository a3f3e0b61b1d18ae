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
// A request that ended badly is a [*StateError].
//
// Wait runs until ctx ends. It rides out transient failures for the outage
// limit, see [WithOutageLimit], and an upload request that the service does not
// know for half a minute. When it gives up, the error has the last status known,
// and the state, if any was seen, is returned with it.
func (s *MachineImagesService) Wait(ctx context.Context, uploadRequestID int64, opts ...WaitOption) (*MachineImageUploadRequest, error) {
	job, err := s.job(uploadRequestID, opts)
	if err != nil {
		return nil, err
	}
	return poll.Wait(ctx, job)
}

// Watch polls the upload request and yields its state, then again whenever it
// has changed, and ends with the request. A request that ended badly yields its
// last state and then a [*StateError]. Any error ends the sequence; it comes with
// the last state seen, nil if there was none. Failures are ridden out as by
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
		Status: func(r *MachineImageUploadRequest) string { return string(r.StatusName) },
		Done:   func(r *MachineImageUploadRequest) bool { return r.StatusName.Terminal() },
		Failed: func(r *MachineImageUploadRequest) error {
			if r.StatusName.failed() {
				return stateError(id, r)
			}
			return nil
		},
		Same: func(older, newer *MachineImageUploadRequest) bool { return reflect.DeepEqual(older, newer) },
	}, err
}

func stateError(id int64, r *MachineImageUploadRequest) *StateError {
	var reasons []string
	for _, d := range r.DataCenterImageUploadRequests {
		if d.StatusName != "" && d.StatusName != StatusCompleted {
			reasons = append(reasons, fmt.Sprintf("%s: %s at %s", d.DataCenterName, d.StatusName, d.UploadProgress))
		}
	}
	return &StateError{UploadRequestID: id, Status: r.StatusName, Reason: strings.Join(reasons, ", ")}
}
