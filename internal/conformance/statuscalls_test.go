package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// statusCall is the call of a client that programs make most.
type statusCall struct {
	name, method string // of the operation, and in a stack
	file         string // has the response
	call         func(base string, c *http.Client) (func(context.Context) error, error)
	// What the same call by hand sends and decodes.
	path   string
	header map[string]string
	into   func() any
}

func statusCalls() []statusCall {
	const jobID = "33911588-c299-4369-a240-7e5b741cdb6a"
	return []statusCall{
		{
			name: "MachineImages.Get", method: "oraclemarket.(*MachineImagesService).Get",
			file: "../../oraclemarket/testdata/status.json",
			call: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"),
					oraclemarket.WithBaseURL(base), oraclemarket.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.MachineImages.Get(ctx, 2797087); return err }, err
			},
			path:   "/appstore/publisher/v1/machineimages/2797087",
			header: map[string]string{"Authorization": "Bearer token", "X-Oracle-UserId": "partner@example.com"},
			into:   func() any { return new(plainUpload) },
		},
		{
			name: "Jobs.Get", method: "imagereplicator.(*JobsService).Get",
			file: "../../imagereplicator/testdata/job_execution_example.json",
			call: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := imagereplicator.New(base, imagereplicator.StaticToken("token"), imagereplicator.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.Jobs.Get(ctx, jobID); return err }, err
			},
			path:   "/v2/extension/image_replicator/jobs/" + jobID,
			header: map[string]string{"X-Auth-Token": "token"},
			into:   func() any { return new(plainJob) },
		},
		{
			name: "ImageUpdates.Status", method: "multiplay.(*ImageUpdatesService).Status",
			file: "../../multiplay/testdata/update_status.json",
			call: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := multiplay.New(multiplay.AccessKey(1, "access", "secret"),
					multiplay.WithBaseURL(base), multiplay.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.ImageUpdates.Status(ctx, 4711); return err }, err
			},
			path:   "/cfp/v1/imageupdate/4711/status?accountserviceid=1",
			header: map[string]string{"Authorization": "Basic YWNjZXNzOnNlY3JldA==", "Content-Type": "application/x-www-form-urlencoded"},
			into:   func() any { return new(plainUpdate) },
		},
	}
}

// The types of the calls by hand have the fields of the services' samples.
type (
	plainUpload struct {
		UploadRequestID      int64     `json:"uploadRequestId"`
		Application          string    `json:"application"`
		Version              string    `json:"version"`
		OperatingSystem      string    `json:"operatingSystem"`
		FileName             string    `json:"fileName"`
		ImageFilePath        string    `json:"imageFilePath"`
		StatusName           string    `json:"statusName"`
		UploadedChunks       int       `json:"uploadedChunks"`
		PendingChunks        int       `json:"pendingChunks"`
		CreatedBy            string    `json:"createdBy"`
		CreatedDate          time.Time `json:"createdDate"`
		LastModifiedBy       string    `json:"lastModifiedBy"`
		LastModifiedDate     time.Time `json:"lastModifiedDate"`
		OverwriteStorageFile bool      `json:"overwriteStorageFile"`
		DataCenters          []struct {
			DataCenterName    string    `json:"dataCenterName"`
			StatusName        string    `json:"statusName"`
			UploadProgress    string    `json:"uploadProgress"`
			Region            string    `json:"region"`
			LastUpdatedDate   time.Time `json:"lastUpdatedDate"`
			CopyUpload        bool      `json:"copyUpload"`
			OverwriteUpload   bool      `json:"overwriteUpload"`
			ReplicaDataCenter bool      `json:"replicaDataCenter"`
		} `json:"dataCenterImageUploadRequests"`
	}
	plainJob struct {
		CopyProgress        int    `json:"copy_progress"`
		DestinationImageID  string `json:"destination_image_id"`
		DestinationRegionID string `json:"destination_region_id"`
		DestinationTenantID string `json:"destination_tenant_id"`
		JobID               string `json:"job_id"`
		SourceImageID       string `json:"source_image_id"`
		SourceImageName     string `json:"source_image_name"`
		SourceRegionID      string `json:"source_region_id"`
		SourceTenantID      string `json:"source_tenant_id"`
		Status              string `json:"status"`
	}
	plainUpdate struct {
		Success      bool    `json:"success"`
		UpdateID     int64   `json:"updateid"`
		JobStateName string  `json:"jobstatename"`
		JobStateID   int     `json:"jobstateid"`
		JobProgress  int     `json:"jobprogress"`
		JobError     *string `json:"joberror"`
		JobFailed    int     `json:"jobfailed"`
		JobCreated   int64   `json:"jobcreated"`
		JobStart     string  `json:"jobstart"`
		JobUpdated   int64   `json:"jobupdated"`
		JobETA       int64   `json:"jobeta"`
	}
)

// byHand returns the same call with net/http and encoding/json, and a time
// limit as the client has one.
func (s *statusCall) byHand(base string, rt http.RoundTripper) func(context.Context) error {
	client := &http.Client{Transport: rt, Timeout: attemptTimeout}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+s.path, http.NoBody)
		if err != nil {
			return err
		}
		for name, value := range s.header {
			req.Header.Set(name, value)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return json.Unmarshal(body, s.into())
	}
}

// taker takes every request whole and returns one body, so that what is counted
// is ours and what net/http does above a transport.
type taker struct {
	body, buf []byte
	taken     func() // nil for nothing
}

func newTaker(t *testing.T, file string) *taker {
	t.Helper()
	body, err := os.ReadFile(file)
	require.NoError(t, err)
	return &taker{body: body, buf: make([]byte, 32<<10)}
}

func (c *taker) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.taken != nil {
		c.taken()
	}
	if req.Body != nil {
		nowhere := struct{ io.Writer }{io.Discard} // its ReadFrom has a buffer of its own
		if _, err := io.CopyBuffer(nowhere, req.Body, c.buf); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.body)), Body: io.NopCloser(bytes.NewReader(c.body)), Request: req,
	}, nil
}
