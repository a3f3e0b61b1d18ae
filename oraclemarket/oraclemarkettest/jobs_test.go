package oraclemarkettest_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// course returns the states of an upload request and its progress, second by
// second.
func course(g *rig, id int64, seconds int) (all []string) {
	for range seconds + 1 {
		record := g.record(id)
		dc, _ := record["dataCenterImageUploadRequests"].([]any)[0].(map[string]any)
		status, _ := record["statusName"].(string)
		require.Equal(g.t, status, dc["statusName"])
		progress, _ := dc["uploadProgress"].(string)
		if line := status + " " + progress; len(all) == 0 || all[len(all)-1] != line {
			all = append(all, line)
		}
		g.clock.Advance(time.Second)
	}
	return all
}

func TestOutcomes(t *testing.T) {
	begin := []string{"Pending 0%", "In Progress 0%", "In Progress 16%", "In Progress 33%"}
	half := slices.Concat(begin, []string{"In Progress 50%"})
	transferred := slices.Concat(half, []string{"In Progress 66%", "In Progress 83%", "Virus Scan In Progress 100%"})
	for outcome, want := range map[oraclemarkettest.Outcome][]string{
		oraclemarkettest.Completes:       slices.Concat(transferred, []string{"Completed 100%"}),
		oraclemarkettest.CannotBeDeleted: slices.Concat(transferred, []string{"Completed 100%"}),
		oraclemarkettest.IsRejected:      slices.Concat(transferred, []string{"Rejected 100%"}),
		oraclemarkettest.Fails:           slices.Concat(begin, []string{"Failed 50%"}),
		oraclemarkettest.GetsStuck:       half,
	} {
		g := newRig(t, oraclemarkettest.WithJobTime(10*time.Second), oraclemarkettest.WithOutcome(outcome))
		id := g.upload("x")
		require.Equal(t, want, course(g, id, 20), outcome)
	}
}

func TestOutcomeControl(t *testing.T) {
	g := newRig(t)
	g.SetNextOutcome(oraclemarkettest.Fails)
	g.SetNextOutcome(oraclemarkettest.IsRejected)
	ids := []int64{g.create("x"), g.upload("x"), g.create("x")}
	g.clock.Advance(time.Hour)
	var got []oraclemarkettest.Status
	for _, id := range ids {
		got = append(got, g.uploaded(id).Status)
	}
	require.Equal(t, []oraclemarkettest.Status{oraclemarkettest.Failed, oraclemarkettest.Rejected, oraclemarkettest.Completed}, got)
}

func TestSpeedAndDates(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithJobTime(100*time.Second), oraclemarkettest.WithSpeed(10))
	id := g.upload("x")
	g.clock.Advance(10*time.Second - 1)
	require.Equal(t, "Virus Scan In Progress", g.record(id)["statusName"])
	require.Equal(t, "2024-05-06T07:08:16.123Z", g.record(id)["lastModifiedDate"])
	g.clock.Advance(time.Hour)
	record := g.record(id)
	require.Equal(t, "Completed", record["statusName"])
	require.Equal(t, "2024-05-06T07:08:09.123Z", record["createdDate"])
	require.Equal(t, "2024-05-06T07:08:19.123Z", record["lastModifiedDate"])
}

func TestJobTimeZero(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithJobTime(0))
	require.Equal(t, "Completed", g.record(g.upload("x"))["statusName"])
}

func TestPrintedStatuses(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{PrintedStatuses: true}), oraclemarkettest.WithOutcome(oraclemarkettest.CannotBeDeleted))
	id := g.upload("x")
	require.Equal(t, "PENDING", g.record(id)["statusName"])
	g.clock.Advance(time.Second)
	require.Equal(t, "IN PROGESS", g.record(id)["statusName"])
	g.do(http.MethodDelete, at(id), nil)
	require.Equal(t, "DELECTION FAILED", g.record(id)["statusName"])
	require.Equal(t, "DELECTION FAILED", g.do(http.MethodHead, at(id), nil).header.Get("X-Upload-Status"))
}

func TestDataCenters(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDataCenters(
		oraclemarkettest.DataCenter{Name: "TEAK", Region: "Teak"},
		oraclemarkettest.DataCenter{Name: "redwood", Region: "Redwood", Replica: true},
	))
	dcs, _ := g.record(g.upload("x"))["dataCenterImageUploadRequests"].([]any)
	require.Len(t, dcs, 2)
	require.Equal(t, map[string]any{
		"dataCenterName": "redwood", "statusName": "Pending", "uploadProgress": "0%", "region": "Redwood",
		"lastUpdatedDate": "2024-05-06T07:08:09.123Z", "copyUpload": false, "overwriteUpload": false, "replicaDataCenter": true,
	}, dcs[1])
}

func TestCheckSum(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{CheckSum: true}))
	id := g.upload("a", "b")
	require.NotContains(t, g.record(id), "checkSum")
	g.clock.Advance(time.Minute)
	require.Equal(t, md5Of("ab"), g.record(id)["checkSum"])
	require.NotContains(t, g.record(oraclemarkettest.SampleID), "checkSum", "it is unknown")
}

func TestHead(t *testing.T) {
	g := newRig(t)
	id := g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}},
		"X-Number-Of-Chunks", "1", "X-File-Name", "gr%C3%B6%C3%9Fe.img"))
	g.clock.Advance(time.Second)
	g.chunk(id, 1, "x")
	g.merge(id)
	g.clock.Advance(time.Minute)
	got := g.do(http.MethodHead, at(id), nil)
	require.Equal(t, http.StatusOK, got.status)
	require.Empty(t, got.body)
	for name, want := range map[string]string{
		"X-Upload-Status":      "Completed",
		"X-Upload-File-Path":   "oracle_pdc2/mi/gr%C3%B6%C3%9Fe.img",
		"X-Created-Date":       "Mon, 06 May 2024 07:08:09 GMT",
		"X-Last-Modified-By":   "anonymous",
		"X-Last-Modified-Date": "Mon, 06 May 2024 07:08:13 GMT",
		"Content-Type":         "application/json; qs=1",
	} {
		require.Equal(t, want, got.header.Get(name), name)
	}
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.header.Get("X-Created-By"))
	require.Equal(t, http.StatusNotFound, g.do(http.MethodHead, at(5), nil).status)
	require.Equal(t, 2, g.Count(oraclemarkettest.OpHead))
	require.Zero(t, g.Count(oraclemarkettest.OpGet))
}

func TestAddImage(t *testing.T) {
	g := newRig(t)
	for _, status := range []oraclemarkettest.Status{
		"", oraclemarkettest.Initiated, oraclemarkettest.Pending, oraclemarkettest.InProgress, oraclemarkettest.VirusScanInProgress,
		oraclemarkettest.Completed, oraclemarkettest.Failed, oraclemarkettest.Rejected, oraclemarkettest.Deleted,
		oraclemarkettest.DeletionFailed, "Quarantined",
	} {
		image := oraclemarkettest.Image{Application: "app", Version: string(status), OperatingSystem: "os", FileName: "f", Status: status}
		id := g.AddImage(image)
		g.clock.Advance(time.Hour)
		record := g.record(id)
		want := cmp.Or(status, oraclemarkettest.Completed)
		require.Equal(t, string(want), record["statusName"])
		require.Equal(t, string(want), g.do(http.MethodHead, at(id), nil).header.Get("X-Upload-Status"))
		if want != oraclemarkettest.Initiated { // nothing is on its way to a data center
			progress := map[oraclemarkettest.Status]string{oraclemarkettest.Completed: "100%"}[want]
			require.Contains(t, fmt.Sprint(record["dataCenterImageUploadRequests"]), "uploadProgress:"+cmp.Or(progress, "0%"))
		}
	}
}

func TestGetRefusals(t *testing.T) {
	g := newRig(t)
	g.wantError(404, "there is no upload request 5", http.MethodGet, at(5), nil)
	g.wantError(400, `"abc" is not a number`, http.MethodGet, images+"/abc", nil)
	g.wantError(404, "no operation GET "+at(5)+"/chunks", http.MethodGet, at(5)+"/chunks", nil)
	g.wantError(405, "no operation GET "+at(5)+"/chunk", http.MethodGet, at(5)+"/chunk", nil)
	g.wantError(405, "no operation PUT "+at(5), http.MethodPut, at(5), nil)
	require.Equal(t, "DELETE, GET, HEAD, PATCH", g.do(http.MethodPut, at(5), nil).header.Get("Allow"))
}
