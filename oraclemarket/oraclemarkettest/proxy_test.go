package oraclemarkettest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestRateLimit(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithRateLimit(5, 1))
	id := g.initiate(9)
	require.Equal(t, http.StatusOK, g.chunk(id, 1, "x").status)
	got := g.chunk(id, 2, "x")
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, `{"message":"Too Many Requests: too many requests a second","errorCode":"TooManyRequests"}`, got.body)
	g.clock.Advance(200 * time.Millisecond)
	require.Equal(t, http.StatusOK, g.chunk(id, 2, "x").status)
	require.Equal(t, http.StatusTooManyRequests, g.chunk(id, 3, "x").status)
}

func TestBodyLimit(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithBodyLimit(1<<20))
	id := g.initiate(2)
	require.Equal(t, http.StatusOK, g.chunk(id, 1, "x").status)
	g.wantFormError(413, "the body is larger than 1048576 bytes", at(id)+"/chunk",
		[]field{{"file", "x", strings.Repeat("x", 1<<20)}}, "X-Chunk-Number", "2")
	require.Len(t, g.uploaded(id).Chunks, 1)
}

func TestOutage(t *testing.T) {
	g := newRig(t)
	id := g.initiate(1)
	end := g.StartOutage(oraclemarkettest.Outage{Status: 522, RetryAfter: "5"})
	got := g.chunk(id, 1, "x")
	require.Equal(t, 522, got.status)
	require.Equal(t, "5", got.header.Get("Retry-After"))
	end()
	end = g.StartOutage(oraclemarkettest.Outage{})
	_, err := g.send(http.MethodGet, at(id), nil)
	require.Error(t, err)
	end()
	require.Equal(t, http.StatusOK, g.chunk(id, 1, "x").status)
	require.Equal(t, map[int]int{1: 1}, g.uploaded(id).Receipts)
}

// The image is merged although the client does not learn of it in time.
func TestSlowAndLostMerge(t *testing.T) {
	for name, fault := range map[string]oraclemarkettest.Fault{
		"response lost":     {Drop: oraclemarkettest.DropAfter},
		"gateway timed out": {Status: http.StatusGatewayTimeout, Process: true},
		"takes long":        {Delay: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			id := g.initiate(1)
			g.chunk(id, 1, "x")
			fault.Operation = oraclemarkettest.OpMerge
			g.Inject(fault)
			body, contentType := form(field{name: "action", value: "upload"})
			_, _ = g.send(http.MethodPatch, at(id), body, "Content-Type", contentType)
			require.Zero(t, g.FaultsLeft())
			require.Equal(t, 1, g.Processed(oraclemarkettest.OpMerge))
			require.Equal(t, "Pending", g.record(id)["statusName"])
		})
	}
}
