package oraclemarket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/poll"
)

// Wait follows the upload request until it has ended and returns its last
// state. A request that ended badly is a *StateError. When the context ends
// first, or Get fails beyond its retries, the error says the last status known
// and the state, if any was seen, is returned with it.
func (s *MachineImagesService) Wait(ctx context.Context, uploadRequestID int64, opts ...WaitOption) (*MachineImageUploadRequest, error) {
	var last *MachineImageUploadRequest
	for state, err := range s.Watch(ctx, uploadRequestID, opts...) {
		if err != nil {
			return last, err
		}
		last = state
	}
	return last, nil
}

// Watch yields the upload request's state, then again whenever something in it
// has changed, and ends with the request. A request that ended badly yields its
// last state and then a *StateError. Any error ends the sequence; it comes with
// the last state seen, which is nil when there was none.
func (s *MachineImagesService) Watch(ctx context.Context, uploadRequestID int64, opts ...WaitOption) iter.Seq2[*MachineImageUploadRequest, error] {
	return func(yield func(*MachineImageUploadRequest, error) bool) {
		o, err := pollOptions(opts)
		if err != nil {
			yield(nil, err)
			return
		}
		job := poll.Job[*MachineImageUploadRequest]{
			Get: func(ctx context.Context) (*MachineImageUploadRequest, time.Duration, error) {
				return s.get(ctx, uploadRequestID)
			},
			Done: func(r *MachineImageUploadRequest) bool { return r.StatusName.Terminal() },
			Same: func(a, b *MachineImageUploadRequest) bool { return reflect.DeepEqual(a, b) },
		}
		var last *MachineImageUploadRequest
		for state, err := range job.Watch(ctx, o) {
			if err != nil {
				yield(last, waitError(uploadRequestID, last, err))
				return
			}
			last = state
			if !yield(state, nil) {
				return
			}
		}
		if last.StatusName.failed() {
			yield(last, stateError(uploadRequestID, last))
		}
	}
}

// waitError says what was known when waiting ended early.
func waitError(id int64, last *MachineImageUploadRequest, err error) error {
	if errors.Is(err, ErrInvalidArgument) {
		return err
	}
	if last == nil {
		return fmt.Errorf("%s: waiting for upload request %d, no status seen: %w", pkg, id, err)
	}
	return fmt.Errorf("%s: waiting for upload request %d, last status %q: %w", pkg, id, last.StatusName, err)
}

func stateError(id int64, r *MachineImageUploadRequest) *StateError {
	var reasons []string
	for _, d := range r.DataCenterImageUploadRequests {
		if d.StatusName != "" && d.StatusName != StatusCompleted {
			reasons = append(reasons, fmt.Sprintf("%s: %s at %d%%", d.DataCenterName, d.StatusName, d.UploadProgress))
		}
	}
	return &StateError{UploadRequestID: id, Status: r.StatusName, Reason: strings.Join(reasons, ", ")}
}
