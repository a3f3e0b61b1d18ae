package oraclemarket

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
)

const (
	imagesURL = DefaultBaseURL + "/appstore/publisher/v1/machineimages"
	imageURL  = imagesURL + "/2797087"
)

// sampleRequest is the documentation's record.
func sampleRequest() *MachineImageUploadRequest {
	modified := time.Date(2018, 6, 12, 4, 52, 51, 1_000_000, time.UTC)
	return &MachineImageUploadRequest{
		UploadRequestID: 2797087, Application: "APS1826_WWP_061218", Version: "OL67", OperatingSystem: "Linux",
		FileName: "wordpress.tar.gz", ImageFilePath: "oracle_pdc2/mi/APS1826_WWP_061218/OL67/Linux/wordpress.tar.gz",
		StatusName: StatusCompleted, UploadedChunks: 75, PendingChunks: 0,
		CreatedBy: "John Doe", CreatedDate: time.Date(2018, 6, 12, 4, 28, 50, 1_000_000, time.UTC),
		LastModifiedBy: "anonymous", LastModifiedDate: modified,
		DataCenterImageUploadRequests: []DataCenterImageUploadRequest{{
			DataCenterName: "US2 COMMERCIAL CHERRY", StatusName: StatusCompleted, UploadProgress: "100%",
			Region: "US2 Commercial Cherry", LastUpdatedDate: modified,
		}},
	}
}

func TestGet(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodGet, imageURL, respondWith(t, seen, 200, "status.json"))
	got, err := mockClient(t, mock).MachineImages.Get(t.Context(), 2797087)
	require.NoError(t, err)
	require.Equal(t, sampleRequest(), got)
	seen.requireCredentials(t)
	require.Empty(t, seen.body)
	require.Equal(t, "application/json", seen.Header.Get("Accept"))
}

// Each member of the documentation's record counts, also where its value there
// is a zero.
func TestEachMember(t *testing.T) {
	variations := documents.Variations(documents.Example(documents.OracleGet, "response"))
	require.Len(t, variations, 14+8)
	seen := map[string]string{jsonText(t, sampleRequest()): "the record itself"}
	for name, text := range variations {
		got, err := unmarshal(text)
		require.NoError(t, err)
		decoded := jsonText(t, got)
		require.NotContains(t, seen, decoded, "%s is like %s", name, seen[decoded])
		seen[decoded] = name
	}

	ack := documents.Example(documents.OracleCreate, "whole: response")
	for name, text := range documents.Variations(ack) {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, imagesURL, httpmock.NewStringResponder(200, text))
		got, err := mockClient(t, mock).MachineImages.Initiate(t.Context(), &InitiateUploadRequest{
			Application: "a", Version: "1", OperatingSystem: "Linux", FileName: "f", NumberOfChunks: 1,
		})
		require.NoError(t, err)
		want := map[string]*Acknowledgement{"message": {Message: "1OK", EntityID: 7934470}, "entityId": {Message: "OK", EntityID: 17934470}}
		require.Equal(t, want[name], got)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// What Get decodes, a program may store and read again.
func TestUploadRequestRoundTrip(t *testing.T) {
	data, err := json.Marshal(sampleRequest())
	require.NoError(t, err)
	require.Contains(t, string(data), `"uploadProgress":"100%"`)
	again := &MachineImageUploadRequest{}
	require.NoError(t, json.Unmarshal(data, again))
	require.Equal(t, sampleRequest(), again)

	page := &MachineImagePage{Page: Page{HasMore: true, Count: 1, Links: []Link{{Rel: "NEXT", Href: "x"}}}, Items: []*MachineImageUploadRequest{sampleRequest()}}
	data, err = json.Marshal(page)
	require.NoError(t, err)
	stored := &MachineImagePage{}
	require.NoError(t, json.Unmarshal(data, stored))
	require.Equal(t, page, stored)
}

func TestPercent(t *testing.T) {
	for text, want := range map[Percent]int{"100%": 100, "42": 42, "12.9%": 12, "": 0, "all": 0, "NaN": 0, "1e300": 0} {
		require.Equal(t, want, text.Int(), "%q", text)
	}
}

// unmarshal decodes a record as the responses to Get and List are.
func unmarshal(data string) (*MachineImageUploadRequest, error) {
	record := new(wrappedRequest)
	err := decoder.Unmarshal([]byte(data), record)
	return record.unwrap(), err
}

func TestUploadRequestVariants(t *testing.T) {
	progress := func(p Percent) MachineImageUploadRequest {
		return MachineImageUploadRequest{DataCenterImageUploadRequests: []DataCenterImageUploadRequest{{UploadProgress: p}}}
	}
	for name, test := range map[string]struct {
		json string
		want MachineImageUploadRequest
	}{
		"empty":                {`{}`, MachineImageUploadRequest{}},
		"nulls":                {`{"uploadRequestId":null,"statusName":null,"createdDate":null,"uploadedChunks":null,"overwriteStorageFile":null,"dataCenterImageUploadRequests":null}`, MachineImageUploadRequest{}},
		"id as string":         {`{"uploadRequestId":"8089067"}`, MachineImageUploadRequest{UploadRequestID: 8089067}},
		"wrapped":              {`{"machineimage":{"uploadRequestId":7}}`, MachineImageUploadRequest{UploadRequestID: 7}},
		"wrapped, spaces":      {`{ "machineimage" : {"uploadRequestId":7} }`, MachineImageUploadRequest{UploadRequestID: 7}},
		"wrapped and more":     {`{"machineimage":{"uploadRequestId":7},"links":[]}`, MachineImageUploadRequest{UploadRequestID: 7}},
		"wrapped otherwise":    {`{"MachineImage":{"uploadRequestId":7}}`, MachineImageUploadRequest{UploadRequestID: 7}},
		"checkSum":             {`{"checkSum":"aa"}`, MachineImageUploadRequest{Checksum: "aa"}},
		"checksum":             {`{"checksum":"aa"}`, MachineImageUploadRequest{Checksum: "aa"}},
		"misspelled":           {`{"statusName":"IN PROGESS"}`, MachineImageUploadRequest{StatusName: StatusInProgress}},
		"spelled":              {`{"statusName":"in progress"}`, MachineImageUploadRequest{StatusName: StatusInProgress}},
		"misspelled deletion":  {`{"statusName":"DELECTION FAILED"}`, MachineImageUploadRequest{StatusName: StatusDeletionFailed}},
		"spelled deletion":     {`{"statusName":"DELETION FAILED"}`, MachineImageUploadRequest{StatusName: StatusDeletionFailed}},
		"underscores":          {`{"statusName":"VIRUS_SCAN_IN_PROGRESS"}`, MachineImageUploadRequest{StatusName: StatusVirusScanInProgress}},
		"unknown status":       {`{"statusName":"Quarantined by Bob"}`, MachineImageUploadRequest{StatusName: "Quarantined by Bob"}},
		"strange date":         {`{"createdDate":"last Tuesday","statusName":"Failed"}`, MachineImageUploadRequest{StatusName: StatusFailed}},
		"strange counts":       {`{"uploadedChunks":true,"pendingChunks":"N/A","statusName":"Failed"}`, MachineImageUploadRequest{StatusName: StatusFailed}},
		"progress":             {`{"dataCenterImageUploadRequests":[{"uploadProgress":"42%"}]}`, progress("42%")},
		"progress number":      {`{"dataCenterImageUploadRequests":[{"uploadProgress":42}]}`, progress("42")},
		"progress of no known": {`{"dataCenterImageUploadRequests":[{"uploadProgress":"waiting"}]}`, progress("waiting")},
		"unknown member":       {`{"shoeSize":43,"uploadRequestId":1}`, MachineImageUploadRequest{UploadRequestID: 1}},
		"id that is none":      {`{"uploadRequestId":"seven"}`, MachineImageUploadRequest{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := unmarshal(test.json)
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
		})
	}
}

func TestStatusTerminal(t *testing.T) {
	for status, want := range map[Status]bool{
		StatusInitiated: false, StatusPending: false, StatusInProgress: false, StatusVirusScanInProgress: false,
		StatusCompleted: true, StatusFailed: true, StatusRejected: true, StatusDeleted: true, StatusDeletionFailed: true,
		"": false, "Something New": false,
	} {
		require.Equal(t, want, status.Terminal(), "%q", status)
	}
}

func TestCreate(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPost, imagesURL, respondWith(t, seen, 200, "created.json"))
	content := "an image"
	ack, err := mockClient(t, mock).MachineImages.Create(t.Context(), &CreateMachineImageRequest{
		Application: "My_Machine_Image", Version: "1.0", OperatingSystem: "linux", OverwriteStorageFile: new(true),
		FileName: "machineImage.tar.gz", File: strings.NewReader(content), Size: int64(len(content)),
		MD5: "4ccef7d656c4520e57a2af2974e012f0",
	})
	require.NoError(t, err)
	require.Equal(t, &Acknowledgement{Message: "OK", EntityID: 7934470}, ack)
	seen.requireCredentials(t)
	require.Equal(t, "machineImage.tar.gz", seen.Header.Get("X-File-Name"))
	require.Equal(t, "4ccef7d656c4520e57a2af2974e012f0", seen.Header.Get("X-MD5-Checksum"))
	require.Empty(t, seen.Header.Get("X-Number-Of-Chunks"))
	require.Equal(t, []part{
		{"json", "", `{"application":"My_Machine_Image","version":"1.0","operatingSystem":"linux","overwriteStorageFile":true}`},
		{"file", "machineImage.tar.gz", content},
	}, seen.form(t))
}

func TestInitiate(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPost, imagesURL, respondWith(t, seen, 200, "initiated.json"))
	ack, err := mockClient(t, mock).MachineImages.Initiate(t.Context(), &InitiateUploadRequest{
		Application: "My_Machine_Image_chunk", Version: "1.0", OperatingSystem: "linux",
		FileName: "machineImage.tar.gz", NumberOfChunks: 3,
	})
	require.NoError(t, err)
	require.Equal(t, &Acknowledgement{Message: "OK", EntityID: 7934472}, ack)
	require.Equal(t, "3", seen.Header.Get("X-Number-Of-Chunks"))
	require.Equal(t, "machineImage.tar.gz", seen.Header.Get("X-File-Name"))
	require.Equal(t, []part{
		{"json", "", `{"application":"My_Machine_Image_chunk","version":"1.0","operatingSystem":"linux"}`},
		{"uploadType", "", "Chunk"},
	}, seen.form(t))
}

// The new id is in the acknowledgement or, after the guide's 201, in Location.
func TestCreatedEntity(t *testing.T) {
	initiate := func(t *testing.T, status int, header http.Header, body string) (*Acknowledgement, error) {
		t.Helper()
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodPost, imagesURL, func(*http.Request) (*http.Response, error) {
			resp := httpmock.NewStringResponse(status, body)
			resp.Header = header
			return resp, nil
		})
		return mockClient(t, mock).MachineImages.Initiate(t.Context(), &InitiateUploadRequest{
			Application: "a", Version: "1", OperatingSystem: "Linux", FileName: "f", NumberOfChunks: 1,
		})
	}
	location := http.Header{"Location": {"/appstore/publisher/v1/machineimages/4711"}}
	for name, test := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"string":               {200, http.Header{}, `{"message":"OK","entityId":"4711"}`},
		"number":               {200, http.Header{}, `{"message":"OK","entityId":4711}`},
		"202":                  {202, http.Header{}, `{"message":"OK","entityId":4711}`},
		"201 and echo":         {201, location, `{"application":"a","version":"1","operatingSystem":"Linux"}`},
		"201 without body":     {201, location, ``},
		"201 and absolute URL": {201, http.Header{"Location": {imagesURL + "/4711?x=1"}}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			ack, err := initiate(t, test.status, test.header, test.body)
			require.NoError(t, err)
			require.Equal(t, int64(4711), ack.EntityID)
		})
	}
	for name, test := range map[string]struct {
		header http.Header
		body   string
	}{
		"no id":        {http.Header{}, `{"message":"OK"}`},
		"null":         {http.Header{}, `null`},
		"bad location": {http.Header{"Location": {"/machineimages/soon"}}, `{}`},
		"a job":        {http.Header{"Location": {"/appstore/publisher/v1/jobs/4711"}}, `{"state":"running"}`},
		"HTML":         {http.Header{"Content-Type": {"text/html"}}, `<html>Welcome</html>`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := initiate(t, 200, test.header, test.body)
			require.ErrorIs(t, err, ErrAmbiguous)
			e := requireError(t, err)
			require.Equal(t, 1, e.Attempts)
		})
	}
}

func requireError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestUploadChunk(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPost, imagesURL+"/8089067/chunk", respondWith(t, seen, 200, "chunk.json"))
	ack, err := mockClient(t, mock).MachineImages.UploadChunk(t.Context(), 8089067, &Chunk{
		Number: 1, FileName: "machineImage.tar.gz", File: strings.NewReader("chunk"), Size: 5,
	})
	require.NoError(t, err)
	require.Equal(t, &ChunkAcknowledgement{
		UploadRequestID: 8089067, Checksum: "4ccef7d656c4520e57a2af2974e012f0", UploadedChunks: 2,
	}, ack)
	require.Equal(t, "1", seen.Header.Get("X-Chunk-Number"))
	require.Equal(t, "machineImage.tar.gz", seen.Header.Get("X-File-Name"))
	require.NotContains(t, seen.Header, "X-Md5-Checksum")
	require.Equal(t, []part{{"file", "machineImage.tar.gz", "chunk"}}, seen.form(t))
}

// A header cannot carry every name; the form part can.
func TestFileNames(t *testing.T) {
	for name, header := range map[string]string{
		"image.tar.gz":     "image.tar.gz",
		"my image 100%.gz": "my image 100%.gz",
		`a"b.gz`:           `a"b.gz`,
		"イメージ 1.gz":        "%E3%82%A4%E3%83%A1%E3%83%BC%E3%82%B8%201.gz",
	} {
		mock, seen := httpmock.NewMockTransport(), &sentRequest{}
		mock.RegisterResponder(http.MethodPost, imagesURL+"/8089067/chunk", respondWith(t, seen, 200, "chunk.json"))
		_, err := mockClient(t, mock).MachineImages.UploadChunk(t.Context(), 8089067, &Chunk{
			Number: 1, FileName: name, File: strings.NewReader("x"), Size: 1,
		})
		require.NoError(t, err)
		require.Equal(t, header, seen.Header.Get("X-File-Name"))
		require.Equal(t, []part{{"file", name, "x"}}, seen.form(t))
	}
}

func TestMerge(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPatch, imagesURL+"/7934756", respondWith(t, seen, 200, "merged.json"))
	ack, err := mockClient(t, mock).MachineImages.Merge(t.Context(), 7934756)
	require.NoError(t, err)
	require.Equal(t, &Acknowledgement{Message: "OK", EntityID: 7934756}, ack)
	require.Equal(t, []part{{"action", "", "upload"}}, seen.form(t))
}

func TestHead(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodHead, imageURL, func(*http.Request) (*http.Response, error) {
		resp := httpmock.NewBytesResponse(200, nil)
		for name, value := range map[string]string{
			"X-Upload-Status": "Completed", "X-Upload-File-Path": "Container/mi/TestCrome.gz",
			"X-Created-By": "0a7d980d-2b06-400c-9b61-9892e0108afc", "X-Created-Date": "Wed, 23 Mar 2016 06:13:46 GMT",
			"X-Last-Modified-By": "anonymous", "X-Last-Modified-Date": "Wed, 23 Mar 2016 06:13:57 GMT",
			"Content-Type": "application/json; qs=1",
		} {
			resp.Header.Set(name, value)
		}
		return resp, nil
	})
	got, err := mockClient(t, mock).MachineImages.Head(t.Context(), 2797087)
	require.NoError(t, err)
	require.Equal(t, &UploadSummary{
		Status: StatusCompleted, FilePath: "Container/mi/TestCrome.gz",
		CreatedBy: "0a7d980d-2b06-400c-9b61-9892e0108afc", CreatedDate: time.Date(2016, 3, 23, 6, 13, 46, 0, time.UTC),
		LastModifiedBy: "anonymous", LastModifiedDate: time.Date(2016, 3, 23, 6, 13, 57, 0, time.UTC),
	}, got)
}

// A 2xx that names no request, or another one, is no response of the operation,
// whatever it is: for a chunk, it is sent again.
func TestMeaninglessResponses(t *testing.T) {
	file := strings.NewReader("x")
	ctx := t.Context()
	for name, call := range map[string]struct {
		method, url string
		once        bool
		call        func(*Client) error
	}{
		"Create": {http.MethodPost, imagesURL, true, func(c *Client) error {
			_, err := c.MachineImages.Create(ctx, &CreateMachineImageRequest{
				Application: "a", Version: "1", OperatingSystem: "L", FileName: "f", File: file, Size: 1,
			})
			return err
		}},
		"Initiate": {http.MethodPost, imagesURL, true, func(c *Client) error {
			_, err := c.MachineImages.Initiate(ctx, &InitiateUploadRequest{
				Application: "a", Version: "1", OperatingSystem: "L", FileName: "f", NumberOfChunks: 1,
			})
			return err
		}},
		"UploadChunk": {http.MethodPost, imageURL + "/chunk", false, func(c *Client) error {
			_, err := c.MachineImages.UploadChunk(ctx, 2797087, &Chunk{Number: 1, FileName: "f", File: file, Size: 1})
			return err
		}},
		"Merge":  {http.MethodPatch, imageURL, false, func(c *Client) error { _, err := c.MachineImages.Merge(ctx, 2797087); return err }},
		"Get":    {http.MethodGet, imageURL, false, func(c *Client) error { _, err := c.MachineImages.Get(ctx, 2797087); return err }},
		"Head":   {http.MethodHead, imageURL, false, func(c *Client) error { _, err := c.MachineImages.Head(ctx, 2797087); return err }},
		"List":   {http.MethodGet, imagesURL, false, func(c *Client) error { _, err := c.MachineImages.List(ctx, nil); return err }},
		"Delete": {http.MethodDelete, imageURL, false, func(c *Client) error { _, err := c.MachineImages.Delete(ctx, 2797087, "teak"); return err }},
		"DeleteEverywhere": {http.MethodDelete, imageURL, false, func(c *Client) error {
			_, err := c.MachineImages.DeleteEverywhere(ctx, 2797087)
			return err
		}},
		"StorageImages.List": {http.MethodGet, storageURL, false, func(c *Client) error { _, err := c.StorageImages.List(ctx, nil); return err }},
		"StorageImages.Get":  {http.MethodGet, storageURL + "/" + storagePath, false, func(c *Client) error { _, err := c.StorageImages.Get(ctx, storagePath); return err }},
		"StorageImages.Copy": {http.MethodPost, storageURL + "/" + storagePath, true, func(c *Client) error {
			_, err := c.StorageImages.Copy(ctx, storagePath, &CopyStorageImageRequest{SourceDataCenter: "a", CopyToDataCenters: []string{"b"}})
			return err
		}},
	} {
		for _, body := range []string{
			"", `{}`, `[]`, `null`, `{"status":"maintenance"}`, `{"message":"busy"}`, `<html>Sign in</html>`,
			`{"items":[{}]}`, `{"items":[{"machineimage":{"statusName":"Completed"}}]}`,
			`{"uploadRequestId":2797088,"entityId":"soon","statusName":"Completed","path":"mi/another.gz"}`,
		} {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder(call.method, call.url, httpmock.NewStringResponder(200, body))
			err := call.call(mockClient(t, mock))
			attempts := 3
			if call.once {
				attempts = 1
			}
			e := requireError(t, err)
			require.Equal(t, attempts, e.Attempts, "%s: %s", name, body)
			require.Equal(t, call.once, errors.Is(err, ErrAmbiguous), "%s: %s", name, body)
			require.Equal(t, !call.once, IsTransient(err), "%s: %s", name, body)
		}
	}
}

// The right id does not make a refusal a success.
func TestRefusalsInside200(t *testing.T) {
	for _, body := range []string{
		`{"entityId":2797087,"uploadRequestId":2797087,"error":{"code":7}}`,
		`{"entityId":2797087,"uploadRequestId":2797087,"error":"disk full"}`,
		`{"entityId":2797087,"uploadRequestId":2797087,"error_message":"disk full"}`,
		`{"entityId":2797087,"uploadRequestId":2797087,"success":"no"}`,
	} {
		mock := httpmock.NewMockTransport()
		mock.RegisterNoResponder(httpmock.NewStringResponder(200, body))
		client := mockClient(t, mock)
		_, err := client.MachineImages.UploadChunk(t.Context(), 2797087, &Chunk{Number: 1, FileName: "f", File: strings.NewReader("x"), Size: 1})
		require.Equal(t, 1, requireError(t, err).Attempts, body)
		require.NotEmpty(t, requireError(t, err).Message)
		_, err = client.MachineImages.Merge(t.Context(), 2797087)
		require.Equal(t, 1, requireError(t, err).Attempts, body)
		_, err = client.MachineImages.Initiate(t.Context(), &InitiateUploadRequest{
			Application: "a", Version: "1", OperatingSystem: "L", FileName: "f", NumberOfChunks: 1,
		})
		require.Error(t, err, body)
		require.NotErrorIs(t, err, ErrAmbiguous)
	}
	mock := httpmock.NewMockTransport()
	mock.RegisterNoResponder(httpmock.NewStringResponder(200, `{"entityId":2797087,"error":null,"success":true}`))
	_, err := mockClient(t, mock).MachineImages.Merge(t.Context(), 2797087)
	require.NoError(t, err)
}

func TestDelete(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodDelete, imagesURL+"/7594652", respondWith(t, seen, 200, "deleted.json"))
	client := mockClient(t, mock)
	ack, err := client.MachineImages.Delete(t.Context(), 7594652, "teak", "ngcmopute", "sydney")
	require.NoError(t, err)
	require.Equal(t, int64(7594652), ack.EntityID)
	require.JSONEq(t, `{"datacenters":["teak","ngcmopute","sydney"]}`, string(seen.body))
	require.Equal(t, "application/json", seen.Header.Get("Content-Type"))

	_, err = client.MachineImages.DeleteEverywhere(t.Context(), 7594652)
	require.NoError(t, err)
	require.Empty(t, seen.body)
	require.NotContains(t, seen.Header, "Content-Type")

	// A filter that found nothing must not delete everything.
	_, err = client.MachineImages.Delete(t.Context(), 7594652)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = client.MachineImages.Delete(t.Context(), 7594652, []string{}...)
	require.ErrorContains(t, err, "oraclemarket: Delete: dataCenters: must not be empty: DeleteEverywhere")
	require.Equal(t, 2, seen.count)
}

// The status of a deletion without content says enough. A merge may point to
// the request it accepted.
func TestEmptyResponses(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodDelete, imageURL, httpmock.NewStringResponder(204, ""))
	mock.RegisterResponder(http.MethodPatch, imageURL, httpmock.NewStringResponder(202, "").HeaderSet(http.Header{"Location": {imageURL}}))
	client := mockClient(t, mock)
	deleted, err := client.MachineImages.DeleteEverywhere(t.Context(), 2797087)
	require.NoError(t, err)
	require.EqualValues(t, 2797087, deleted.EntityID)
	merged, err := client.MachineImages.Merge(t.Context(), 2797087)
	require.NoError(t, err)
	require.EqualValues(t, 2797087, merged.EntityID)
}

func TestListQuery(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodGet, imagesURL, respondWith(t, seen, 200, "list_page2.json"))
	client := mockClient(t, mock)
	_, err := client.MachineImages.List(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, seen.URL.RawQuery)

	_, err = client.MachineImages.List(t.Context(), &ListMachineImagesOptions{
		Keyword: "2016 & more", Limit: 1, Offset: 5, OrderBy: OrderByLastUpdateDate, SortOrder: SortDescending,
		Statuses: []Status{StatusInProgress, StatusDeletionFailed, "COMPLETED", "New One"},
	})
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"keyword": {"2016 & more"}, "limit": {"1"}, "offset": {"5"}, "orderby": {"LASTUPDATEDATE"}, "sortorder": {"DESC"},
		"machineimagestatus": {"IN PROGESS,DELECTION FAILED,COMPLETED,New One"},
	}, seen.URL.Query())
}

func TestAll(t *testing.T) {
	mock := httpmock.NewMockTransport()
	seen := &sentRequest{}
	mock.RegisterResponderWithQuery(http.MethodGet, imagesURL, "limit=100", respondWith(t, seen, 200, "list_page1.json"))
	mock.RegisterResponderWithQuery(http.MethodGet, imagesURL, "limit=100&offset=2", respondWith(t, seen, 200, "list_page2.json"))
	client := mockClient(t, mock)
	opts := &ListMachineImagesOptions{}
	var ids []int64
	var states []Status
	for r, err := range client.MachineImages.All(t.Context(), opts) {
		require.NoError(t, err)
		ids = append(ids, r.UploadRequestID)
		states = append(states, r.StatusName)
	}
	require.Equal(t, []int64{2797087, 2797088, 2797089}, ids)
	require.Equal(t, []Status{StatusCompleted, StatusInProgress, StatusDeletionFailed}, states)
	require.Equal(t, &ListMachineImagesOptions{}, opts)
	require.Equal(t, 2, seen.count)

	for _, err := range client.MachineImages.All(t.Context(), opts) {
		require.NoError(t, err)
		break
	}
	require.Equal(t, 3, seen.count, "a page that nobody wants is not asked for")
}

func TestAllEnds(t *testing.T) {
	page := func(ids string, more string) string {
		return `{"items":[` + ids + `]` + more + `}`
	}
	for name, test := range map[string]struct {
		body    func(offset string) string
		records int
		err     string
	}{
		"no envelope": {func(string) string { return page(`{"uploadRequestId":1},{"uploadRequestId":2}`, "") }, 2, ""},
		"empty":       {func(string) string { return `{"items":[],"hasMore":true}` }, 0, ""},
		"no items":    {func(string) string { return `{}` }, 0, "it has no items"},
		"null items":  {func(string) string { return `{"items":[null]}` }, 0, ""},
		"NEXT only": {func(offset string) string {
			if offset == "" {
				return page(`{"uploadRequestId":1}`, `,"links":[{"rel":"NEXT","href":"x"}]`)
			}
			return page(`{"uploadRequestId":2}`, "")
		}, 2, ""},
		"full pages, no envelope": {func(offset string) string {
			switch offset {
			case "":
				return page(strings.TrimSuffix(strings.Repeat(`{"uploadRequestId":1},`, 100), ","), "")
			case "100":
				return page(`{"uploadRequestId":2}`, "")
			default:
				return "unexpected"
			}
		}, 101, ""},
		"total only": {func(offset string) string {
			switch offset {
			case "":
				return page(`{"uploadRequestId":1},{"uploadRequestId":2}`, `,"totalResults":3`)
			case "2":
				return page(`{"uploadRequestId":3}`, `,"totalResults":3`)
			default:
				return "unexpected"
			}
		}, 3, ""},
		"last of the links": {func(string) string {
			return page(`{"uploadRequestId":1}`, `,"totalResults":9,"links":[{"rel":"SELF","href":"x"}]`)
		}, 1, ""},
		"offset ignored": {func(string) string { return page(`{"uploadRequestId":1}`, `,"hasMore":true`) }, 1, "same page"},
		"not JSON":       {func(string) string { return `<html>` }, 0, "not the JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			mock := httpmock.NewMockTransport()
			mock.RegisterResponder(http.MethodGet, imagesURL, func(req *http.Request) (*http.Response, error) {
				return httpmock.NewStringResponse(200, test.body(req.URL.Query().Get("offset"))), nil
			})
			records := 0
			var failed error
			for r, err := range mockClient(t, mock).MachineImages.All(t.Context(), nil) {
				if err != nil {
					require.Nil(t, r)
					failed = err
					continue
				}
				records++
			}
			require.Equal(t, test.records, records)
			if test.err == "" {
				require.NoError(t, failed)
			} else {
				require.ErrorContains(t, failed, test.err)
			}
		})
	}
}

// With one item a page, records that are created meanwhile make a page come
// twice, which is no end and no reason to yield a record twice.
func TestAllShiftingPages(t *testing.T) {
	mock := httpmock.NewMockTransport()
	pages := []string{"1", "2", "2", "2", "3", ""}
	mock.RegisterResponder(http.MethodGet, imagesURL, func(req *http.Request) (*http.Response, error) {
		n, err := strconv.Atoi(cmp.Or(req.URL.Query().Get("offset"), "0"))
		require.NoError(t, err)
		item := pages[n]
		if item != "" {
			item = `{"uploadRequestId":` + item + `}`
		}
		return httpmock.NewStringResponse(200, `{"items":[`+item+`]}`), nil
	})
	var ids []int64
	for r, err := range mockClient(t, mock).MachineImages.All(t.Context(), &ListMachineImagesOptions{Limit: 1}) {
		require.NoError(t, err)
		ids = append(ids, r.UploadRequestID)
	}
	require.Equal(t, []int64{1, 2, 3}, ids)
}

// Bad input names its field, and nothing is sent.
func TestBadInput(t *testing.T) {
	mock := httpmock.NewMockTransport() // has no responses: a request is an error of another kind
	client := mockClient(t, mock)
	images, storage, ctx := client.MachineImages, client.StorageImages, t.Context()
	file := strings.NewReader("x")
	create := func(change func(*CreateMachineImageRequest)) error {
		req := &CreateMachineImageRequest{Application: "a", Version: "1", OperatingSystem: "Linux", FileName: "f", File: file, Size: 1}
		change(req)
		_, err := images.Create(ctx, req)
		return err
	}
	chunk := func(change func(*Chunk)) error {
		c := &Chunk{Number: 1, FileName: "f", File: file, Size: 1}
		change(c)
		_, err := images.UploadChunk(ctx, 1, c)
		return err
	}
	upload := func(change func(*ImageUpload)) error {
		req := &ImageUpload{Application: "a", Version: "1", OperatingSystem: "Linux", FileName: "f", File: file, Size: 1}
		change(req)
		_, err := images.Upload(ctx, req)
		return err
	}
	initiate := func(req InitiateUploadRequest) error {
		_, err := images.Initiate(ctx, &req)
		return err
	}
	list := func(o ListMachineImagesOptions) error {
		_, err := images.List(ctx, &o)
		return err
	}
	get := func(id int64) error { _, err := images.Get(ctx, id); return err }
	storageGet := func(path string) error { _, err := storage.Get(ctx, path); return err }
	storageCopy := func(req *CopyStorageImageRequest) error { _, err := storage.Copy(ctx, "mi/a", req); return err }
	for want, err := range map[string]error{
		"CreateMachineImageRequest.FileName: must not be empty":          create(func(r *CreateMachineImageRequest) { r.FileName = "" }),
		"CreateMachineImageRequest.FileName: must not contain control":   create(func(r *CreateMachineImageRequest) { r.FileName = "a\r\nX-Evil: 1" }),
		"CreateMachineImageRequest.FileName: must be a name":             create(func(r *CreateMachineImageRequest) { r.FileName = "../a" }),
		"CreateMachineImageRequest.FileName: must be valid UTF-8":        create(func(r *CreateMachineImageRequest) { r.FileName = "a\xff" }),
		"CreateMachineImageRequest.Size: must be positive, not -1":       create(func(r *CreateMachineImageRequest) { r.Size = -1 }),
		"CreateMachineImageRequest.Size: must be positive, not 0":        create(func(r *CreateMachineImageRequest) { r.Size = 0 }),
		"CreateMachineImageRequest.File: must not be nil":                create(func(r *CreateMachineImageRequest) { r.File = nil }),
		"CreateMachineImageRequest.MD5: must be 32 hex digits":           create(func(r *CreateMachineImageRequest) { r.MD5 = "zz" }),
		"CreateMachineImageRequest.Application: must not be empty":       create(func(r *CreateMachineImageRequest) { r.Application = "" }),
		"CreateMachineImageRequest.Version: must not be empty":           create(func(r *CreateMachineImageRequest) { r.Version = " " }),
		"CreateMachineImageRequest.OperatingSystem: must not be empty":   create(func(r *CreateMachineImageRequest) { r.OperatingSystem = "" }),
		"InitiateUploadRequest.NumberOfChunks: must be at least 1":       initiate(InitiateUploadRequest{Application: "a", Version: "1", OperatingSystem: "L", FileName: "f"}),
		"InitiateUploadRequest.Application: must not be empty":           initiate(InitiateUploadRequest{}),
		"Chunk.Number: must be at least 1, not 0":                        chunk(func(c *Chunk) { c.Number = 0 }),
		"Chunk.Size: must be positive, not 0":                            chunk(func(c *Chunk) { c.Size = 0 }),
		"Chunk.FileName: must not contain control characters":            chunk(func(c *Chunk) { c.FileName = "a\x00" }),
		"Chunk.File: must not be nil":                                    chunk(func(c *Chunk) { c.File = nil }),
		"ImageUpload.ChunkSize: must be positive":                        upload(func(r *ImageUpload) { r.ChunkSize = -1 }),
		"ImageUpload.ChunkSize: makes more than":                         upload(func(r *ImageUpload) { r.ChunkSize, r.Size = 1, 1<<40 }),
		"ImageUpload.Concurrency: must be positive":                      upload(func(r *ImageUpload) { r.Concurrency = -2 }),
		"ImageUpload.Size: must be positive, not -5":                     upload(func(r *ImageUpload) { r.Size = -5 }),
		"ImageUpload.FileName: must not be empty":                        upload(func(r *ImageUpload) { r.FileName = "" }),
		"WithPollInterval: must not be negative":                         upload(func(r *ImageUpload) { r.WaitOptions = []WaitOption{WithPollInterval(-1, 0)} }),
		"uploadRequestID: must be positive, not 0":                       get(0),
		"uploadRequestID: must be positive, not -7":                      get(-7),
		"ListMachineImagesOptions.Limit: must be 1 to 100":               list(ListMachineImagesOptions{Limit: 101}),
		"ListMachineImagesOptions.Offset: must not be negative":          list(ListMachineImagesOptions{Offset: -1}),
		"machineImagePath: must not be empty":                            storageGet(""),
		"machineImagePath: each part between slashes: must not be a dot": storageGet("mi/../secret"),
		"machineImagePath: each part between slashes: must not be empty": storageGet("mi//a"),
		"CopyStorageImageRequest.SourceDataCenter: must not be empty":    storageCopy(&CopyStorageImageRequest{}),
		"CopyStorageImageRequest.CopyToDataCenters: must not be empty":   storageCopy(&CopyStorageImageRequest{SourceDataCenter: "a"}),
		"CopyStorageImageRequest.CopyToDataCenters[1]: must not be":      storageCopy(&CopyStorageImageRequest{SourceDataCenter: "a", CopyToDataCenters: []string{"b", ""}}),
		"CopyStorageImageRequest: must not be nil":                       storageCopy(nil),
	} {
		require.ErrorContains(t, err, "oraclemarket: "+want)
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
	_, err := images.Create(ctx, nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = images.UploadChunk(ctx, 1, nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = images.Upload(ctx, nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = images.Delete(ctx, 1, "")
	require.ErrorIs(t, err, ErrInvalidArgument)
	for _, err := range []error{
		func() error { _, err := images.UploadChunk(ctx, 0, &Chunk{}); return err }(),
		func() error { _, err := images.Merge(ctx, 0); return err }(),
		func() error { _, err := images.Head(ctx, 0); return err }(),
		func() error { _, err := images.Delete(ctx, 0); return err }(),
		func() error { _, err := images.DeleteEverywhere(ctx, 0); return err }(),
	} {
		require.ErrorContains(t, err, "oraclemarket: uploadRequestID: must be positive, not 0")
	}
	_, err = storage.List(ctx, &ListStorageImagesOptions{Limit: -1})
	require.ErrorContains(t, err, "oraclemarket: ListStorageImagesOptions.Limit: must be 1 to 100")
	_, err = storage.Copy(ctx, "", &CopyStorageImageRequest{})
	require.ErrorContains(t, err, "oraclemarket: machineImagePath: must not be empty")
	err = storageCopy(&CopyStorageImageRequest{SourceDataCenter: "a", OverwriteDataCenters: []string{""}})
	require.ErrorContains(t, err, "oraclemarket: CopyStorageImageRequest.OverwriteDataCenters[0]: must not be empty")
	require.ErrorContains(t, create(func(r *CreateMachineImageRequest) { r.Version = "1\xff" }), "CreateMachineImageRequest.Version: must be valid UTF-8")
	_, err = images.UploadFile(ctx, t.TempDir(), &ImageUpload{})
	require.ErrorContains(t, err, "oraclemarket: ImageUpload.Application: must not be empty")
	_, err = images.UploadFile(ctx, "x", nil)
	require.ErrorContains(t, err, "oraclemarket: ImageUpload: must not be nil")
	require.Zero(t, mock.GetTotalCallCount())
}

func TestZeroBasedChunks(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPost, imagesURL+"/8089067/chunk", respondWith(t, seen, 200, "chunk.json"))
	client := mockClient(t, mock, WithFirstChunkNumber(0))
	_, err := client.MachineImages.UploadChunk(t.Context(), 8089067, &Chunk{Number: 0, FileName: "f", File: bytes.NewReader([]byte("x")), Size: 1})
	require.NoError(t, err)
	require.Equal(t, "0", seen.Header.Get("X-Chunk-Number"))
	_, err = client.MachineImages.UploadChunk(t.Context(), 1, &Chunk{Number: -1, FileName: "f", File: bytes.NewReader([]byte("x")), Size: 1})
	require.ErrorContains(t, err, "Chunk.Number: must be at least 0")
}

// The documented error statuses, each with its sentinel and its message.
func TestErrors(t *testing.T) {
	for status, test := range map[int]struct {
		sentinel error
		body     string
		message  string
	}{
		400: {ErrBadRequest, `{"message":"Invalid Parameter Value","errorCode":"E1"}`, "Invalid Parameter Value"},
		401: {ErrUnauthorized, `{"title":"Not Authorized","detail":"no token"}`, "no token"},
		403: {ErrForbidden, `Forbidden`, "Forbidden"},
		404: {ErrNotFound, `<error><text>Entity Not Found</text></error>`, "Entity Not Found"},
		500: {ErrServer, `<html><head><title>500</title></head><body><h1>System Error</h1></body></html>`, "System Error"},
	} {
		mock := httpmock.NewMockTransport()
		mock.RegisterResponder(http.MethodGet, imageURL, httpmock.NewStringResponder(status, test.body))
		_, err := mockClient(t, mock).MachineImages.Get(t.Context(), 2797087)
		require.ErrorIs(t, err, test.sentinel)
		e := requireError(t, err)
		require.Equal(t, status, e.StatusCode)
		require.Equal(t, test.message, e.Message)
		require.Equal(t, "oraclemarket.MachineImages.Get", e.Op)
		require.Equal(t, test.body, e.Body)
		attempts := 1
		if status == 500 {
			attempts = 3
		}
		require.Equal(t, attempts, e.Attempts)
		require.Equal(t, attempts, mock.GetTotalCallCount())
		require.ErrorContains(t, err, "oraclemarket.MachineImages.Get: GET "+imageURL+": ")
	}
}

func FuzzUploadRequest(f *testing.F) {
	f.Add([]byte(`{"uploadRequestId":"1","statusName":"IN PROGESS","dataCenterImageUploadRequests":[{"uploadProgress":"100%"}]}`))
	f.Add([]byte(`{"machineimage":{"uploadRequestId":1,"createdDate":"2018-06-12T04:28:50.001Z"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := unmarshal(string(data))
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		require.NoError(t, err)
		var second MachineImageUploadRequest
		require.NoError(t, json.Unmarshal(again, &second))
		require.Equal(t, r.UploadRequestID, second.UploadRequestID)
		require.Equal(t, r.StatusName, second.StatusName)
		require.True(t, r.CreatedDate.Equal(second.CreatedDate))
	})
}
