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

// Wait follows the upload request until it has ended and returns its last
// state. A request that ended badly is a *StateError. When the context ends
// first, or Get fails beyond its retries, the error says the last status known
// and the state, if any was seen, is returned with it.
func (s *MachineImagesService) Wait(ctx context.Context, uploadRequestID int64, opts ...WaitOption) (*MachineImageUploadRequest, error) {
	return poll.Wait(ctx, s.job(uploadRequestID), opts)
}

// Watch yields the upload request's state, then again whenever something in it
// has changed, and ends with the request. A request that ended badly yields its
// last state and then a *StateError. Any error ends the sequence; it comes with
// the last state seen, which is nil when there was none.
func (s *MachineImagesService) Watch(ctx context.Context, uploadRequestID int64, opts ...WaitOption) iter.Seq2[*MachineImageUploadRequest, error] {
	return poll.Watch(ctx, s.job(uploadRequestID), opts)
}

func (s *MachineImagesService) job(id int64) *poll.Job[*MachineImageUploadRequest] {
	return &poll.Job[*MachineImageUploadRequest]{
		Package: pkg,
		Name:    fmt.Sprintf("upload request %d", id),
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
		Same: func(a, b *MachineImageUploadRequest) bool { return reflect.DeepEqual(a, b) },
	}
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
