package oraclemarkettest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

const (
	storage = "/appstore/publisher/v1/storageimages"
	ruby    = storage + "/mi/sun/sun/sun/ruby-2.4.1.tar.gz"
)

// addRuby adds the image of the documentation's sample.
func addRuby(t *testing.T) (*rig, int64) {
	t.Helper()
	g := newRig(t, oraclemarkettest.WithDataCenters(
		oraclemarkettest.DataCenter{Name: "TEAK", Region: "TEAK"}, oraclemarkettest.DataCenter{Name: "redwood", Region: "redwood"}))
	id := g.AddImage(oraclemarkettest.Image{
		Application: "sun", Version: "sun", OperatingSystem: "sun", FileName: "ruby-2.4.1.tar.gz", Size: 14174752,
		Completed: time.Date(2017, 11, 30, 10, 32, 38, 0, time.UTC),
	})
	g.do(http.MethodDelete, at(id), strings.NewReader(`{"datacenters":["redwood"]}`), "Content-Type", "application/json")
	return g, id
}

func TestStorageImage(t *testing.T) {
	g, id := addRuby(t)
	g.want(200, compact(t, `{"fileName": "ruby-2.4.1.tar.gz", "version": "sun", "operatingSystem": "sun", "application": "sun",
 "path": "mi/sun/sun/sun/ruby-2.4.1.tar.gz",
 "storageDataCenterImageStatuses": [
  {"dataCenterName": "TEAK", "size": "14174752", "isAvailable": true, "lastModifiedDate": "2017-11-30T10:32:38.000Z", "region": "TEAK"},
  {"dataCenterName": "redwood", "isAvailable": false, "region": "redwood", "replica": false}]}`), http.MethodGet, ruby, nil)
	require.Equal(t, "partner@example.com", g.record(id)["createdBy"])
	g.wantError(404, "there is no image mi/sun", http.MethodGet, storage+"/mi/sun", nil)

	// An upload is there once it is Completed, and replaces an older one.
	image := storage + "/mi/My_Machine_Image/1.0/linux/machineImage.tar.gz"
	g.create("12345")
	g.wantError(404, "there is no image", http.MethodGet, image, nil)
	g.clock.Advance(time.Minute)
	require.Contains(t, g.do(http.MethodGet, image, nil).body, `"size":"5"`)
	g.create("1234567")
	require.Contains(t, g.do(http.MethodGet, image, nil).body, `"size":"5"`)
	g.clock.Advance(time.Minute)
	require.Contains(t, g.do(http.MethodGet, image, nil).body, `"size":"7"`)
	require.Equal(t, "sun My_Machine_Image", g.list(storage).names(), "one entry for one path")
}

func TestStorageList(t *testing.T) {
	g, _ := addRuby(t)
	g.create("x")
	g.clock.Advance(time.Minute)
	g.create("x")
	g.AddImage(oraclemarkettest.Image{Application: "other", Version: "1", OperatingSystem: "Linux", FileName: "o"})
	for query, want := range map[string]string{
		"":                             "sun My_Machine_Image other",
		"?datacenter=teak":             "sun My_Machine_Image other",
		"?datacenter=redwood":          "My_Machine_Image other",
		"?datacenter=redwood,TEAK":     "sun My_Machine_Image other",
		"?datacenter=x&datacenter=red": "",
		"?keyword=SUN":                 "sun",
		"?limit=1&offset=1":            "My_Machine_Image",
	} {
		require.Equal(t, want, g.list(storage+query).names(), query)
	}
	require.Equal(t, g.URL+storage+"?offset=2&limit=1", g.list(storage + "?limit=1&offset=1").Links[2].Href)
}

func TestStorageCopy(t *testing.T) {
	g, id := addRuby(t)
	ask := func(body string) reply {
		return g.do(http.MethodPost, ruby, strings.NewReader(body), "Content-Type", "application/json")
	}
	got := ask(`{"sourceDataCenter":"teak","copyToDataCenters":["Sydney Account","redwood"],"overwriteDataCenters":["TEAK"]}`)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, fmt.Sprintf(`{"message":"Request initiated to copy image : mi/sun/sun/sun/ruby-2.4.1.tar.gz","entityId":"%d"}`, id), got.body)

	statuses := func() (all []string) {
		dcs, _ := g.record(id)["dataCenterImageUploadRequests"].([]any)
		for _, dc := range dcs {
			m, _ := dc.(map[string]any)
			all = append(all, fmt.Sprint(m["dataCenterName"], " ", m["statusName"], " ", m["uploadProgress"], " ", m["copyUpload"], " ", m["overwriteUpload"]))
		}
		return all
	}
	available := func() int { return strings.Count(g.do(http.MethodGet, ruby, nil).body, `"isAvailable":true`) }
	require.Equal(t, []string{"TEAK Pending 0% false true", "redwood Pending 0% true false", "Sydney Account Pending 0% true false"}, statuses())
	require.Equal(t, 1, available(), "the one that is being overwritten")
	g.clock.Advance(1650 * time.Millisecond)
	require.Equal(t, "redwood In Progress 50% true false", statuses()[1])
	require.Equal(t, http.StatusOK, ask(`{"sourceDataCenter":"teak","copyToDataCenters":["redwood"]}`).status)
	require.Equal(t, "redwood In Progress 50% true false", statuses()[1], "a copy under way is left alone")
	g.clock.Advance(time.Minute)
	require.Equal(t, []string{"TEAK Completed 100% false true", "redwood Completed 100% true false", "Sydney Account Completed 100% true false"}, statuses())
	require.Equal(t, 3, available())
	require.Equal(t, "Completed", g.record(id)["statusName"])
}

func TestStorageCopyRefusals(t *testing.T) {
	g, _ := addRuby(t)
	for body, reason := range map[string]string{
		"":                            "the body is missing",
		"{":                           "cannot be read",
		`{"sourceDataCenter":"TEAK"}`: "name no data center",
		`{"copyToDataCenters":[""]}`:  "or an empty one",
		`{"copyToDataCenters":["a"]}`: `sourceDataCenter "" does not have`,
		`{"copyToDataCenters":"a"}`:   "copyToDataCenters: json",
		`{"overwriteDataCenters":["a"],"sourceDataCenter":"redwood"}`: `sourceDataCenter "redwood" does not have`,
	} {
		g.wantError(400, reason, http.MethodPost, ruby, strings.NewReader(body), "Content-Type", "application/json")
	}
	body := `{"sourceDataCenter":"TEAK","copyToDataCenters":["a"]}`
	g.wantError(404, "there is no image mi/x", http.MethodPost, storage+"/mi/x", strings.NewReader(body), "Content-Type", "application/json")
	g.wantError(415, "accepts only application/json", http.MethodPost, ruby, strings.NewReader("<StorageImageCopyRequest/>"), "Content-Type", "application/xml")
}
