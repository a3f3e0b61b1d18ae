package oraclemarket

import (
	"net/http"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/require"
)

const (
	storageURL  = DefaultBaseURL + "/appstore/publisher/v1/storageimages"
	storagePath = "mi/sun/sun/sun/ruby-2.4.1.tar.gz"
)

func TestStorageGet(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodGet, storageURL+"/"+storagePath, respondWith(t, seen, 200, "storageimage.json"))
	got, err := mockClient(t, mock).StorageImages.Get(t.Context(), storagePath)
	require.NoError(t, err)
	require.Equal(t, &StorageImage{
		FileName: "ruby-2.4.1.tar.gz", Application: "sun", Version: "sun", OperatingSystem: "sun", Path: storagePath,
		StorageDataCenterImageStatuses: []StorageDataCenterImageStatus{
			{DataCenterName: "TEAK", Region: "TEAK", IsAvailable: true, Size: 14174752, LastModifiedDate: time.Date(2017, 11, 30, 10, 32, 38, 0, time.UTC)},
			{DataCenterName: "redwood", Region: "redwood"},
		},
	}, got)
	seen.requireCredentials(t)
}

// The slashes of the path stay, everything else in it is escaped.
func TestStoragePathEscapes(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterNoResponder(func(req *http.Request) (*http.Response, error) {
		seen.keep(t, req)
		return httpmock.NewStringResponse(200, `{"path":"mi/a b/50%/x?y#z.gz"}`), nil
	})
	_, err := mockClient(t, mock).StorageImages.Get(t.Context(), "mi/a b/50%/x?y#z.gz")
	require.NoError(t, err)
	require.Equal(t, "/appstore/publisher/v1/storageimages/mi/a%20b/50%25/x%3Fy%23z.gz", seen.URL.EscapedPath())
	require.Empty(t, seen.URL.RawQuery)
}

func TestStorageCopy(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponder(http.MethodPost, storageURL+"/"+storagePath, respondWith(t, seen, 200, "copied.json"))
	ack, err := mockClient(t, mock).StorageImages.Copy(t.Context(), storagePath, &CopyStorageImageRequest{
		SourceDataCenter: "ngcompute", CopyToDataCenters: []string{"Sydney Account", "ashpublisher"}, OverwriteDataCenters: []string{"Cherry"},
	})
	require.NoError(t, err)
	require.Equal(t, &Acknowledgement{Message: "Request initiated to copy image : " + storagePath, EntityID: 7934470}, ack)
	require.JSONEq(t, `{"sourceDataCenter":"ngcompute","copyToDataCenters":["Sydney Account","ashpublisher"],"overwriteDataCenters":["Cherry"]}`, string(seen.body))
	require.Equal(t, "application/json", seen.Header.Get("Content-Type"))
}

// A copy whose response is lost is not sent twice.
func TestStorageCopyOnce(t *testing.T) {
	mock := httpmock.NewMockTransport()
	mock.RegisterResponder(http.MethodPost, storageURL+"/"+storagePath, httpmock.NewStringResponder(503, ""))
	_, err := mockClient(t, mock).StorageImages.Copy(t.Context(), storagePath, &CopyStorageImageRequest{
		SourceDataCenter: "a", CopyToDataCenters: []string{"b"},
	})
	require.ErrorIs(t, err, ErrAmbiguous)
	require.ErrorIs(t, err, ErrServer)
	require.Equal(t, 1, mock.GetTotalCallCount())
}

func TestStorageListAndAll(t *testing.T) {
	mock, seen := httpmock.NewMockTransport(), &sentRequest{}
	mock.RegisterResponderWithQuery(http.MethodGet, storageURL, "datacenter=TEAK&keyword=sun&limit=2&offset=1", respondWith(t, seen, 200, "list_page1.json"))
	mock.RegisterResponderWithQuery(http.MethodGet, storageURL, "datacenter=TEAK&keyword=sun&limit=2&offset=3", respondWith(t, seen, 200, "list_page2.json"))
	client := mockClient(t, mock)
	opts := &ListStorageImagesOptions{DataCenter: "TEAK", Keyword: "sun", Limit: 2, Offset: 1}
	page, err := client.StorageImages.List(t.Context(), opts)
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	require.True(t, page.HasMore)
	require.Equal(t, 3, page.TotalResults)
	count := 0
	for _, err := range client.StorageImages.All(t.Context(), opts) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 3, count)
}
