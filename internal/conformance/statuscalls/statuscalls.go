// Package statuscalls has the calls that programs make most, one of each client,
// and the same calls by hand with net/http. Tests and measurements compare them.
package statuscalls

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// Call is the call of a client.
type Call struct {
	Name, Method string // of the operation, and in a stack
	// SDK returns the call by a client that sends through hc, or by default if
	// that is nil.
	SDK func(base string, hc *http.Client) (func(context.Context) error, error)
	// What the same call by hand sends and decodes.
	Path   string
	Header map[string]string
	Into   func() any
}

// All returns the calls.
func All() []*Call {
	const jobID = "33911588-c299-4369-a240-7e5b741cdb6a"
	return []*Call{
		{
			Name: "MachineImages.Get", Method: "oraclemarket.(*MachineImagesService).Get",
			SDK: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"),
					oraclemarket.WithBaseURL(base), oraclemarket.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.MachineImages.Get(ctx, 2797087); return err }, err
			},
			Path:   "/appstore/publisher/v1/machineimages/2797087",
			Header: map[string]string{"Authorization": "Bearer token", "X-Oracle-UserId": "partner@example.com"},
			Into:   func() any { return new(plainUpload) },
		},
		{
			Name: "Jobs.Get", Method: "imagereplicator.(*JobsService).Get",
			SDK: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := imagereplicator.New(base, imagereplicator.StaticToken("token"), imagereplicator.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.Jobs.Get(ctx, jobID); return err }, err
			},
			Path:   "/v2/extension/image_replicator/jobs/" + jobID,
			Header: map[string]string{"X-Auth-Token": "token"},
			Into:   func() any { return new(plainJob) },
		},
		{
			Name: "ImageUpdates.Status", Method: "multiplay.(*ImageUpdatesService).Status",
			SDK: func(base string, hc *http.Client) (func(context.Context) error, error) {
				c, err := multiplay.New(multiplay.AccessKey(1, "access", "secret"),
					multiplay.WithBaseURL(base), multiplay.WithHTTPClient(hc))
				return func(ctx context.Context) error { _, err := c.ImageUpdates.Status(ctx, 4711); return err }, err
			},
			Path:   "/cfp/v1/imageupdate/4711/status?accountserviceid=1",
			Header: map[string]string{"Authorization": "Basic YWNjZXNzOnNlY3JldA==", "Content-Type": "application/x-www-form-urlencoded"},
			Into:   func() any { return new(plainUpdate) },
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

// ByHand returns the same call with hc and encoding/json.
func (c *Call) ByHand(base string, hc *http.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+c.Path, http.NoBody)
		if err != nil {
			return err
		}
		for name, value := range c.Header {
			req.Header.Set(name, value)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := hc.Do(req) //nolint:bodyclose // Decode closes it
		return Decode(resp, err, c.Into())
	}
}

// Decode decodes the result of a round trip by hand and closes the body.
func Decode(resp *http.Response, err error, into any) error {
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
