package oraclemarkettest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// The types of this file are the JSON of the service's responses, members in
// the order of the documentation's samples.

type acknowledgement struct {
	Message  string `json:"message"`
	EntityID string `json:"entityId"`
}

func acknowledge(w http.ResponseWriter, id int64, message string) {
	emulator.WriteJSON(w, http.StatusOK, acknowledgement{Message: message, EntityID: strconv.FormatInt(id, 10)})
}

type chunkAcknowledgement struct {
	UploadRequestID string `json:"uploadRequestId"` // a number everywhere else
	Checksum        string `json:"checksum"`
	*chunkCounts
}

// chunkCounts are left out where they are nil.
type chunkCounts struct {
	UploadedChunks int `json:"uploadedChunks"`
	PendingChunks  int `json:"pendingChunks"`
}

type machineImage struct {
	UploadRequestID int64  `json:"uploadRequestId"`
	Application     string `json:"application"`
	Version         string `json:"version"`
	OperatingSystem string `json:"operatingSystem"`
	FileName        string `json:"fileName"`
	ImageFilePath   string `json:"imageFilePath"`
	StatusName      string `json:"statusName"`
	*chunkCounts
	CreatedBy                     string            `json:"createdBy"`
	CreatedDate                   string            `json:"createdDate"`
	LastModifiedBy                string            `json:"lastModifiedBy"`
	LastModifiedDate              string            `json:"lastModifiedDate"`
	OverwriteStorageFile          bool              `json:"overwriteStorageFile"`
	CheckSum                      string            `json:"checkSum,omitempty"` // in the schema, not in the sample
	DataCenterImageUploadRequests []dataCenterImage `json:"dataCenterImageUploadRequests"`
}

type dataCenterImage struct {
	DataCenterName    string `json:"dataCenterName"`
	StatusName        string `json:"statusName"`
	UploadProgress    string `json:"uploadProgress"`
	Region            string `json:"region"`
	LastUpdatedDate   string `json:"lastUpdatedDate"`
	CopyUpload        bool   `json:"copyUpload"`
	OverwriteUpload   bool   `json:"overwriteUpload"`
	ReplicaDataCenter bool   `json:"replicaDataCenter"`
}

type storageImage struct {
	FileName        string               `json:"fileName"`
	Version         string               `json:"version"`
	OperatingSystem string               `json:"operatingSystem"`
	Application     string               `json:"application"`
	Path            string               `json:"path"`
	Statuses        []storageImageStatus `json:"storageDataCenterImageStatuses"`
}

type storageImageStatus struct {
	DataCenterName   string `json:"dataCenterName"`
	Size             string `json:"size,omitempty"`
	IsAvailable      bool   `json:"isAvailable"`
	LastModifiedDate string `json:"lastModifiedDate,omitempty"`
	Region           string `json:"region"`
	Replica          *bool  `json:"replica,omitempty"`
}

type collection struct {
	Items        []any  `json:"items"`
	HasMore      bool   `json:"hasMore"`
	Count        int    `json:"count"`
	TotalResults int    `json:"totalResults"`
	Links        []link `json:"links"`
}

type wrappedMachineImage struct {
	MachineImage machineImage `json:"machineimage"`
}

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// jsonDate formats a date as the JSON responses do.
func jsonDate(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// headerDate formats a date as the headers of the HEAD response do.
func headerDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
