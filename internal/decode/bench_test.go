package decode_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/decode"
)

// The records of the three services, as their packages declare them.
type (
	uploadRequest struct {
		UploadRequestID      int64               `json:"uploadRequestId"`
		Application          string              `json:"application"`
		Version              string              `json:"version"`
		OperatingSystem      string              `json:"operatingSystem"`
		FileName             string              `json:"fileName"`
		ImageFilePath        string              `json:"imageFilePath,omitempty"`
		Checksum             string              `json:"checkSum,omitempty"`
		StatusName           state               `json:"statusName"`
		UploadedChunks       int                 `json:"uploadedChunks"`
		PendingChunks        int                 `json:"pendingChunks"`
		CreatedBy            string              `json:"createdBy,omitempty"`
		CreatedDate          time.Time           `json:"createdDate,omitzero"`
		LastModifiedBy       string              `json:"lastModifiedBy,omitempty"`
		LastModifiedDate     time.Time           `json:"lastModifiedDate,omitzero"`
		OverwriteStorageFile bool                `json:"overwriteStorageFile"`
		DataCenters          []dataCenterRequest `json:"dataCenterImageUploadRequests,omitempty"`
	}
	dataCenterRequest struct {
		DataCenterName    string    `json:"dataCenterName"`
		StatusName        state     `json:"statusName"`
		UploadProgress    int       `json:"uploadProgress"`
		Region            string    `json:"region,omitempty"`
		LastUpdatedDate   time.Time `json:"lastUpdatedDate,omitzero"`
		CopyUpload        bool      `json:"copyUpload"`
		OverwriteUpload   bool      `json:"overwriteUpload"`
		ReplicaDataCenter bool      `json:"replicaDataCenter"`
	}
	copyJob struct {
		ID                  string `json:"job_id"`
		Status              state  `json:"status"`
		CopyProgress        int64  `json:"copy_progress"`
		SourceImageID       string `json:"source_image_id"`
		SourceImageName     string `json:"source_image_name"`
		SourceRegionID      string `json:"source_region_id"`
		SourceTenantID      string `json:"source_tenant_id"`
		DestinationImageID  string `json:"destination_image_id,omitempty"`
		DestinationRegionID string `json:"destination_region_id"`
		DestinationTenantID string `json:"destination_tenant_id"`
	}
	updateStatus struct {
		envelope
		UpdateID int64     `json:"updateid"`
		State    state     `json:"jobstatename"`
		StateID  int64     `json:"jobstateid,omitempty"`
		Progress int64     `json:"jobprogress"`
		Error    string    `json:"joberror,omitempty"`
		Failures int64     `json:"jobfailed"`
		Created  time.Time `json:"jobcreated,omitzero"`
		Started  time.Time `json:"jobstart,omitzero"`
		Updated  time.Time `json:"jobupdated,omitzero"`
		ETA      time.Time `json:"jobeta,omitzero"`
	}
)

// fixture reads a response of a service's document.
func fixture(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
	require.NoError(tb, err)
	return data
}

func benchmark[T any](b *testing.B, name string, d *decode.Decoder, path string) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		data := fixture(b, path)
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Unmarshal(data, new(T)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	states := decode.Enum(canonical)
	benchmark[uploadRequest](b, "oraclemarket", decode.New(states), "oraclemarket/testdata/status.json")
	ntt := decode.New(states, decode.SpacesInNames())
	benchmark[copyJob](b, "imagereplicator", ntt, "imagereplicator/testdata/job_execution_example.json")
	benchmark[copyJob](b, "imagereplicator/spaces", ntt, "imagereplicator/testdata/job_table.json")
	benchmark[updateStatus](b, "multiplay", decode.New(states, decode.TextOfAnything()), "multiplay/testdata/update_status.json")
}
