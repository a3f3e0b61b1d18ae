package workflows

import (
	"fmt"
	"net/url"
	"strings"

	"go.temporal.io/sdk/workflow"
)

// maxParts bounds the history of an upload.
const maxParts = 256

// Validate returns an error that names a wrong field. What the service wants of
// an image is checked by the activities.
func (in UploadImageInput) Validate() error {
	source, err := new(url.URL), error(nil)
	if strings.Contains(in.Source, "://") {
		source, err = url.Parse(in.Source)
	}
	return check("UploadImageInput", []rule{
		{"Application", in.Application != "", "must not be empty"},
		{"Version", in.Version != "", "must not be empty"},
		{"OperatingSystem", in.OperatingSystem != "", "must not be empty"},
		{"Source", in.Source != "" && in.Name() != "", "must name a file"},
		{"Source", err == nil, "is not a URL"}, // err would repeat it
		{"Source", err != nil || source.User == nil && source.RawQuery == "" && source.Fragment == "",
			"must not have user info, a query or a fragment: the history would keep them"},
		{"Parts", in.Parts >= 0 && in.Parts <= maxParts, fmt.Sprintf("must be 0 to %d", maxParts)},
	})
}

// UploadImage uploads an image and waits until it is Completed. If it is
// canceled or fails, it deletes what it has uploaded.
func UploadImage(ctx workflow.Context, in UploadImageInput) (*Status, error) {
	u := &upload{task: UploadTask{Input: in}}
	return u.do(ctx, u, in.Validate(), true)
}

type upload struct {
	run

	task  UploadTask
	ended bool // the upload request, well or badly
}

func (u *upload) show(s *Status) {
	s.UploadRequestID, s.Version = u.task.Progress.UploadRequestID, u.task.Progress.Version
}

func (u *upload) work(ctx workflow.Context) error {
	err := u.decided(ctx, func() error { return u.send(ctx) }, func(d Decision, problem string) error {
		if d.Action == GiveUp {
			return givenUp(d, problem)
		}
		adopted, _ := number(d.ID) // it was validated, if there is one to adopt
		u.task.Progress, u.task.Repeat, u.task.Adopted = UploadProgress{}, d.Action == Repeat, d.Action == Adopt
		if u.task.Adopted {
			u.task.Progress.UploadRequestID = adopted
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.enter(ctx, StateProcessing); err != nil {
		return err
	}
	err = workflow.ExecuteActivity(control(ctx), finishUpload, u.task).Get(ctx, &u.status.ImageFilePath)
	u.ended = err == nil || errorType(err) == ErrorState
	return err
}

// send uploads the image. The first part begins the upload, which the others
// wait for. If one fails, all end before anything is deleted.
func (u *upload) send(ctx workflow.Context) (err error) {
	sending, cancel := workflow.WithCancel(transfer(ctx))
	defer cancel()
	free, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	ended := func(failed error) {
		if failed != nil && err == nil {
			err = failed
			cancel()
		}
	}
	all := workflow.NewWaitGroup(ctx)
	parts := make([]UploadProgress, max(u.task.Input.Parts, 1))
	for i := 1; i < len(parts); i++ {
		all.Add(1)
		workflow.Go(sending, func(own workflow.Context) { // once the first part is scheduled
			part := u.task
			part.Part, part.Progress = i, UploadProgress{}
			ended(workflow.ExecuteActivity(own, uploadPart, part).Get(own, &parts[i]))
			all.Done()
		})
	}
	ended(keep(sending, uploadImage, &u.task.Progress, u.task))
	all.Wait(free)
	parts[0] = u.task.Progress
	u.task.Parts = nil
	for _, part := range parts {
		if part.Part != nil {
			u.task.Parts = append(u.task.Parts, part.Part)
		}
	}
	return err
}

func (u *upload) cleanUp(ctx workflow.Context) []string {
	p := u.task.Progress
	switch {
	case u.ended || p.UploadRequestID == 0 && len(p.Checkpoint) == 0:
		return nil
	case u.task.Adopted: // it is another program's, whatever a person thought
		return []string{fmt.Sprintf("upload request %d, which was adopted", p.UploadRequestID)}
	}
	var left string
	err := workflow.ExecuteActivity(briefly(ctx), discardUpload, u.task).Get(ctx, &left)
	switch {
	case err != nil && p.UploadRequestID == 0:
		left = "perhaps an upload request: " + message(err)
	case err != nil:
		left = fmt.Sprintf("upload request %d: %s", p.UploadRequestID, message(err))
	case left == "":
		return nil
	}
	return []string{left}
}
