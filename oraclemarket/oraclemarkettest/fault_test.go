package oraclemarkettest_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The emulator's tests cover what each fault does; this one covers what it
// means for an upload.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault    oraclemarkettest.Fault
		receipts int
	}{
		"refused":        {oraclemarkettest.Fault{Status: 503, RetryAfter: "1"}, 0},
		"lost":           {oraclemarkettest.Fault{Status: 503, Process: true}, 1},
		"drop before":    {oraclemarkettest.Fault{Drop: oraclemarkettest.DropBefore}, 0},
		"drop during":    {oraclemarkettest.Fault{Drop: oraclemarkettest.DropDuring}, 0},
		"drop after":     {oraclemarkettest.Fault{Drop: oraclemarkettest.DropAfter}, 1},
		"truncated":      {oraclemarkettest.Fault{Truncate: true}, 1},
		"half the JSON":  {oraclemarkettest.Fault{CutJSON: true}, 1},
		"a proxy's page": {oraclemarkettest.Fault{ContentType: "text/html", Body: "<html>"}, 1},
		"early success":  {oraclemarkettest.Fault{Early: true, Body: `{"uploadRequestId":"7934470"}`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			id := g.initiate(1)
			test.fault.Operation = oraclemarkettest.OpUploadChunk
			g.Inject(test.fault)
			body, contentType := form(field{"file", "x", "x"})
			_, _ = g.send(http.MethodPost, at(id)+"/chunk", body, "Content-Type", contentType, "X-File-Name", "x", "X-Chunk-Number", "1")
			require.Zero(t, g.FaultsLeft())
			require.Equal(t, test.receipts, g.uploaded(id).Receipts[1])
			require.Equal(t, test.receipts, g.Processed(oraclemarkettest.OpUploadChunk))

			require.Equal(t, http.StatusOK, g.chunk(id, 1, "y").status)
			require.Equal(t, test.receipts+1, g.uploaded(id).Receipts[1])
			require.Equal(t, http.StatusOK, g.merge(id).status)
			require.Equal(t, "y", read(t, g.uploaded(id)))
		})
	}
}

func TestFaultResponse(t *testing.T) {
	g := newRig(t)
	for status, code := range map[int]string{
		400: "InvalidParameter", 401: "NotAuthorized", 404: "EntityNotFound", 405: "MethodNotAllowed", 406: "NotAcceptable",
		415: "UnsupportedMediaType", 429: "TooManyRequests", 500: "SystemError", 503: "ServiceUnavailable", 507: "Error",
	} {
		g.Inject(oraclemarkettest.Fault{Operation: oraclemarkettest.OpList, Status: status})
		got := g.do(http.MethodGet, images, nil)
		require.Equal(t, status, got.status)
		require.Contains(t, got.body, `: injected fault","errorCode":"`+code+`"}`)
	}
	g.Inject(oraclemarkettest.Fault{Status: 503, Times: -1})
	g.ClearFaults()
	require.Equal(t, http.StatusOK, g.status())
}

// A certain chunk can be made to fail.
func TestFaultMatch(t *testing.T) {
	g := newRig(t)
	id := g.initiate(3)
	g.Inject(oraclemarkettest.Fault{Status: 500, Match: func(r *http.Request) bool { return r.Header.Get("X-Chunk-Number") == "2" }})
	for number, want := range map[int]int{1: 200, 2: 500, 3: 200} {
		require.Equal(t, want, g.chunk(id, number, strconv.Itoa(number)).status)
	}
}

func TestRequestLog(t *testing.T) {
	g := newRig(t)
	for range 3 {
		g.status("Accept", "*/*")
	}
	require.Len(t, g.Requests(), 3)
	require.Equal(t, 3, g.Count(oraclemarkettest.OpList))
	third := g.Requests()[2]
	require.Equal(t, "*/*", third.Header.Get("Accept"))
	third.Header = nil
	require.Equal(t, oraclemarkettest.Request{
		Seq: 3, Time: start, Operation: oraclemarkettest.OpList, Method: http.MethodGet, Path: images,
		Status: http.StatusOK, Processed: true,
	}, third)
}
