package oraclemarkettest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func three() oraclemarkettest.Option {
	return oraclemarkettest.WithDataCenters(oraclemarkettest.DataCenter{Name: "TEAK", Region: "TEAK"},
		oraclemarkettest.DataCenter{Name: "ngcmopute"}, oraclemarkettest.DataCenter{Name: "sydney"})
}

func TestDeleteFromAll(t *testing.T) {
	dir := t.TempDir()
	g := newRig(t, three(), oraclemarkettest.WithDir(dir))
	id := g.upload("a", "b")
	g.clock.Advance(time.Minute)
	want := fmt.Sprintf(`{"message":"%d was deleted successfully from all data centers.","entityId":"%d"}`, id, id)
	g.want(200, want, http.MethodDelete, at(id), nil)
	g.want(200, want, http.MethodDelete, at(id), nil)

	record := g.record(id)
	require.Equal(t, "Deleted", record["statusName"])
	require.Equal(t, "2024-05-06T07:09:09.123Z", record["lastModifiedDate"])
	dcs, _ := record["dataCenterImageUploadRequests"].([]any)
	require.Len(t, dcs, 3)
	require.Subset(t, dcs[2], map[string]any{"statusName": "Deleted", "dataCenterName": "sydney"})
	_, err := g.uploaded(id).MD5()
	require.ErrorContains(t, err, "is deleted")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Contains(t, g.merge(id).body, "is deleted")
	g.wantError(404, "there is no upload request 5", http.MethodDelete, at(5), nil)
}

func TestDeleteFromSome(t *testing.T) {
	g := newRig(t, three())
	id := g.create("x")
	g.clock.Advance(time.Minute)
	del := func(names, body string) {
		t.Helper()
		want := fmt.Sprintf(`{"message":"%d was deleted successfully from %s.","entityId":"%d"}`, id, names, id)
		g.want(200, want, http.MethodDelete, at(id), strings.NewReader(body), "Content-Type", "application/json")
	}
	del("teak, nowhere", `{"datacenters": ["teak", "nowhere"]}`)
	record := g.record(id)
	require.Equal(t, "Completed", record["statusName"])
	dcs, _ := record["dataCenterImageUploadRequests"].([]any)
	require.Subset(t, dcs[0], map[string]any{"dataCenterName": "TEAK", "statusName": "Deleted"})
	require.Subset(t, dcs[1], map[string]any{"dataCenterName": "ngcmopute", "statusName": "Completed"})
	del("teak, ngcmopute, sydney", `{"datacenters": ["teak", "ngcmopute", "sydney"]}`)
	require.Equal(t, "Deleted", g.record(id)["statusName"])
}

func TestDeleteRefusals(t *testing.T) {
	g := newRig(t)
	id := g.create("x")
	for body, reason := range map[string]string{
		`{}`: "has no datacenters", `{"datacenters":[]}`: "has no datacenters", `{"dataCenters":["a"]}`: "has no datacenters",
		`{"datacenters":"a"}`: "datacenters: json", `[]`: "cannot be read",
	} {
		g.wantError(400, reason, http.MethodDelete, at(id), strings.NewReader(body), "Content-Type", "application/json")
	}
	g.wantError(415, "accepts only application/json", http.MethodDelete, at(id), strings.NewReader("<DataCenterName/>"), "Content-Type", "application/xml")
	g.wantError(400, "longer than", http.MethodDelete, at(id), strings.NewReader(strings.Repeat("x", 65<<10)), "Content-Type", "application/json")
	require.Equal(t, "Pending", g.record(id)["statusName"])
}

// A delete is also the only way to abandon an upload in chunks.
func TestDeleteBeforeTheMerge(t *testing.T) {
	g := newRig(t)
	id := g.initiate(2)
	g.chunk(id, 1, "x")
	g.do(http.MethodDelete, at(id), nil)
	g.wantFormError(400, "accepts no chunks: it is Deleted", at(id)+"/chunk", []field{{"file", "x", "x"}}, "X-Chunk-Number", "2")
	require.Equal(t, "Deleted", g.record(id)["statusName"])
}

func TestDeletionFails(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithOutcome(oraclemarkettest.CannotBeDeleted))
	id := g.create("x")
	g.clock.Advance(time.Minute)
	require.Equal(t, http.StatusOK, g.do(http.MethodDelete, at(id), nil).status)
	require.Equal(t, "Deletion Failed", g.record(id)["statusName"])
	require.Equal(t, "x", read(t, g.uploaded(id)))
	require.Equal(t, http.StatusOK, g.do(http.MethodGet, storage+"/mi/My_Machine_Image/1.0/linux/machineImage.tar.gz", nil).status)
}

// A chunk whose upload request is deleted meanwhile is not kept.
func TestDeleteDuringAChunk(t *testing.T) {
	dir := t.TempDir()
	g := newRig(t, oraclemarkettest.WithDir(dir))
	id := g.initiate(1)
	body, contentType := form(field{"file", "x", strings.Repeat("x", 1<<20)})
	pr, pw := io.Pipe()
	got := make(chan reply, 1)
	go func() {
		response, _ := g.send(http.MethodPost, at(id)+"/chunk", pr, "Content-Type", contentType, "X-File-Name", "x", "X-Chunk-Number", "1")
		got <- response
	}()
	_, err := io.CopyN(pw, body, 1<<19)
	require.NoError(t, err)
	// Half of the chunk was sent; the server may or may not have checked its
	// upload request by now.
	require.Equal(t, http.StatusOK, g.do(http.MethodDelete, at(id), nil).status)
	_, err = io.Copy(pw, body)
	require.NoError(t, err)
	require.NoError(t, pw.Close())
	response := <-got
	require.Equal(t, http.StatusBadRequest, response.status)
	require.Contains(t, response.body, "accepts no chunks: it is Deleted")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}
