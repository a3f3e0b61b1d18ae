package multiplay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// response is the body of a 2xx response.
type response[T any] struct {
	Value    T        `json:",embed"`
	Envelope envelope `json:",embed"`
	// Created is jobcreated as the page "Image job fields" spells it.
	Created time.Time `json:"jobcreate"`
}

// receive returns the T in a response. problem returns why it is not a response
// of the operation, "" if it is.
func receive[T any](r *transport.Response, problem func(*T) string) (*T, error) {
	var got response[T]
	err := got.decode(r)
	if err == nil {
		err = got.Envelope.refusal()
	}
	if err != nil {
		return nil, err
	}
	if problem := problem(&got.Value); problem != "" {
		return nil, r.Malformed(problem)
	}
	return &got.Value, nil
}

// decode reads the envelope alone where the rest is not in its form: that may
// be what the service refuses with.
func (got *response[T]) decode(r *transport.Response) error {
	err := r.JSON(got)
	if err == nil {
		return nil
	}
	var alone envelope
	if r.JSON(&alone) != nil || alone.refusal() == nil {
		return err
	}
	got.Envelope = alone
	return nil
}

type holdsJob interface{ job() *Job }

// jobStatus is a pointer to a T that holds a job.
type jobStatus[T any] interface {
	*T
	holdsJob
}

// receiveJob is receive for a T with a job in it. After a status call, the
// "success": false of a job that ended badly is no refusal: programs have taken
// success for that of the job, against its documented meaning.
func receiveJob[T any, S jobStatus[T]](c *caller, r *transport.Response, isStatus bool, problem func(S) string) (S, error) {
	c.clock.saw(r.Header.Get("Date"))
	var got response[T]
	if err := got.decode(r); err != nil {
		return nil, err
	}
	status := S(&got.Value)
	job := status.job()
	job.settle(got.Created, c.sent)
	if isStatus && (job.State == JobFailed || job.State == JobSquashed) {
		got.Envelope.Success = decode.Unset
	}
	if err := got.Envelope.refusal(); err != nil {
		return nil, err
	}
	if problem := problem(status); problem != "" {
		return nil, r.Malformed(problem)
	}
	return status, nil
}

// newJobProblem returns why a response does not name a new job. Its id is all
// that a caller cannot do without.
func newJobProblem(field string, id int64) string {
	if id <= 0 {
		return "it has no " + field
	}
	return ""
}

// jobProblem returns why a response is not about the job that was asked for. It
// fills in an id that is missing: some tables of the documents leave it out, and
// so may the service.
func jobProblem(field string, id *int64, asked int64, state JobState) string {
	*id = cmp.Or(*id, asked)
	switch {
	case *id != asked:
		return fmt.Sprintf("its %s is not %d", field, asked)
	case state == "":
		return "it has no jobstatename"
	}
	return ""
}

// has reports whether the response has a member of one of those names, which
// the zero value of a field does not show.
func has(r *transport.Response, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return member(r, name) != nil })
}

// member returns the JSON of a member, nil if there is none.
func member(r *transport.Response, name string) json.RawMessage {
	var members map[string]json.RawMessage
	if r.JSON(&members) != nil {
		return nil
	}
	for have, value := range members {
		if strings.EqualFold(have, name) {
			return value
		}
	}
	return nil
}

// isZero reports whether a member is the number zero.
func isZero(member json.RawMessage) bool {
	number, err := strconv.ParseFloat(strings.Trim(string(member), `" `), 64)
	return err == nil && number == 0
}

// envelope is what stands around the fields of a response, or instead of them.
type envelope struct {
	Success      decode.Flag `json:"success"`
	Error        decode.Flag `json:"error"`
	ErrorCode    decode.Text `json:"error_code"`
	ErrorMessage decode.Text `json:"error_message"`
	Messages     decode.Text `json:"messages"`
}

// refusal returns nil unless the response says that the request failed. Not all
// responses have success, so its absence says nothing.
func (e *envelope) refusal() error {
	failed := e.Error != decode.Unset && e.Error != decode.False
	says := e.ErrorMessage != "" || e.ErrorCode != "" && e.ErrorCode != "0"
	if !failed && e.Success != decode.False && (!says || e.Success == decode.True) {
		return nil
	}
	return &transport.RefusalError{
		Code: string(e.ErrorCode),
		Message: cmp.Or(string(e.ErrorMessage), e.Error.Text(), string(e.Messages),
			"the service refused without a message"),
	}
}
