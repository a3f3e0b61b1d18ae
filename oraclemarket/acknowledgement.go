package oraclemarket

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"strconv"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Acknowledgement is the service's short response to a change.
type Acknowledgement struct {
	// Message is a text for people, such as "OK".
	Message string `json:"message"`
	// EntityID is the upload request's id.
	EntityID int64 `json:"entityId"`
}

// refusal is how a 2xx response reports a failure. No page of this API has such
// a response; gateways in front of it do.
type refusal struct {
	Error        decode.Flag `json:"error"`
	ErrorMessage decode.Text `json:"errorMessage"`
	ErrorCode    decode.Text `json:"errorCode"`
	Success      decode.Flag `json:"success"`
}

func (f *refusal) err() error {
	if f.ErrorMessage == "" && (f.Error == decode.Unset || f.Error == decode.False) && f.Success != decode.False {
		return nil
	}
	message := cmp.Or(string(f.ErrorMessage), f.Error.Text(), "the response reports a failure")
	return &transport.RefusalError{Code: string(f.ErrorCode), Message: message}
}

// decodeCreated accepts a response that names a new upload request. The
// reference has status 200 and an acknowledgement; the guide 201, a Location
// and an echo of the request.
func decodeCreated(r *transport.Response) (*Acknowledgement, error) {
	return decodeAcknowledgement(r, 0)
}

// decodeAcknowledgement accepts a response that names the upload request id, or
// any if id is 0.
func decodeAcknowledgement(r *transport.Response, id int64) (*Acknowledgement, error) {
	var ack struct {
		Acknowledgement
		refusal
	}
	jsonErr := r.JSON(&ack)
	if jsonErr != nil {
		ack.Acknowledgement = Acknowledgement{} // of a body that was cut, it has what came first
	} else if err := ack.err(); err != nil {
		return nil, err
	}
	if ack.EntityID == 0 {
		ack.EntityID = locationID(r)
	}
	switch {
	case ack.EntityID > 0 && (id == 0 || ack.EntityID == id):
		return &ack.Acknowledgement, nil
	case jsonErr != nil:
		return nil, jsonErr
	case id == 0:
		return nil, r.Malformed("neither entityId nor Location names an upload request")
	default:
		return nil, r.Malformed(fmt.Sprintf("neither entityId nor Location names upload request %d", id))
	}
}

// locationID returns the id of the upload request that the Location header is
// of, 0 if it is of none: a 202 may have that of a job.
func locationID(r *transport.Response) int64 {
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil {
		return 0
	}
	resource, last := path.Split(path.Clean(u.Path))
	if path.Base(resource) != "machineimages" {
		return 0
	}
	id, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return 0
	}
	return id
}
