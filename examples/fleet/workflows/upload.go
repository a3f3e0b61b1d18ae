package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// maxParts bounds the history of an upload.
const maxParts = 256

// Validate returns an error that names a wrong field. What the service wants of
// an image is checked by the activities.
func (in UploadImageInput) Validate() error {
	switch {
	case in.Application == "":
		return wrong("UploadImageInput.Application", "must not be empty")
	case in.Version == "":
		return wrong("UploadImageInput.Version", "must not be empty")
	case in.OperatingSystem == "":
		return wrong("UploadImageInput.OperatingSystem", "must not be empty")
	case in.Source == "" || in.Name() == "":
		return wrong("UploadImageInput.Source", "must name a file")
	case in.Parts < 0 || in.Parts > maxParts:
		return wrong("UploadImageInput.Parts", fmt.Sprintf("must be 0 to %d", maxParts))
	case !strings.Contains(in.Source, "://"):
		return nil
	}
	u, err := url.Parse(in.Source)
	switch {
	case err != nil:
		return wrong("UploadImageInput.Source", "is not a URL") // err would repeat it
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return wrong("UploadImageInput.Source", "must not have user info, a query or a fragment: the history would keep them")
	}
	return nil
}

// UploadImage uploads an image and waits until it is Completed. If it is
// canceled or fails, it deletes what it has uploaded.
func UploadImage(ctx workflow.Context, in UploadImageInput) (*UploadImageResult, error) {
	r, err := newRun(ctx, true)
	if err != nil {
		return nil, err
	}
	u := &upload{run: r, task: UploadTask{Input: in}}
	err = in.Validate()
	var result *UploadImageResult
	if err == nil {
		result, err = u.do(ctx)
	}
	if err != nil {
		return nil, u.end(ctx, err, u.discard)
	}
	return result, u.enter(ctx, StateDone)
}

type upload struct {
	*run

	task  UploadTask
	ended bool // the upload request, well or badly
}

func (u *upload) do(ctx workflow.Context) (*UploadImageResult, error) {
	if err := u.enter(ctx, StateUploading); err != nil {
		return nil, err
	}
	for parts := u.task.Input.Parts > 1; ; {
		err := u.send(ctx, parts)
		if err == nil {
			break
		}
		if !ambiguous(err) {
			return nil, err
		}
		d, err := u.decide(ctx, err)
		if err != nil {
			return nil, err
		}
		u.task.Progress, u.task.Repeat = UploadProgress{}, d.Action == Repeat
		if d.Action == Adopt { // all chunks are sent again, to a request that is not ours
			u.task.Progress.UploadRequestID, _ = number(d.ID) // it was validated
			parts = true
		}
	}
	if err := u.enter(ctx, StateProcessing); err != nil {
		return nil, err
	}
	var result UploadImageResult
	err := workflow.ExecuteActivity(control(ctx), finishUpload, u.task).Get(ctx, &result)
	u.ended = err == nil || errorType(err) == ErrorState
	return &result, err
}

// send uploads the image, as a whole or in parts.
func (u *upload) send(ctx workflow.Context, parts bool) error {
	u.task.InitiateOnly = parts
	err := keep(transfer(ctx), uploadImage, &u.task.Progress, u.task)
	u.status.UploadRequestID = u.task.Progress.UploadRequestID
	if err != nil || !parts {
		return err
	}
	n := min(max(u.task.Input.Parts, 1), u.task.Progress.TotalChunks)
	sending, cancel := workflow.WithCancel(transfer(ctx))
	defer cancel()
	free, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	u.task.Parts = make([]json.RawMessage, n)
	ended := workflow.NewSelector(free)
	for i := range n {
		part := u.task
		part.Parts = nil
		part.First = u.task.Progress.TotalChunks * i / n
		part.Count = u.task.Progress.TotalChunks*(i+1)/n - part.First
		ended.AddFuture(workflow.ExecuteActivity(sending, uploadPart, part), func(f workflow.Future) {
			if failed := f.Get(free, &u.task.Parts[i]); failed != nil && err == nil {
				err = failed
				cancel() // the others have to end before anything is deleted
			}
		})
	}
	for range n {
		ended.Select(free)
	}
	return err
}

// discard deletes what was uploaded.
func (u *upload) discard(ctx workflow.Context) []string {
	p := u.task.Progress
	if u.ended || p.UploadRequestID == 0 && len(p.Checkpoint) == 0 {
		return nil
	}
	var left string
	err := workflow.ExecuteActivity(briefly(ctx), discardUpload, u.task).Get(ctx, &left)
	switch {
	case err != nil && p.UploadRequestID == 0:
		return []string{"perhaps an upload request: " + message(rootCause(err))}
	case err != nil:
		return []string{fmt.Sprintf("upload request %d: %s", p.UploadRequestID, message(rootCause(err)))}
	case left != "":
		return []string{left}
	}
	return nil
}

// rootCause returns why the last attempt of an activity failed that ran out of
// time.
func rootCause(err error) error {
	if late, ok := errors.AsType[*temporal.TimeoutError](err); ok && late.Unwrap() != nil {
		return late.Unwrap()
	}
	return err
}
