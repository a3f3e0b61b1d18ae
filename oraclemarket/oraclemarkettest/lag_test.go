package oraclemarkettest_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestListLag(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithListLag(3*time.Second), oraclemarkettest.WithJobTime(0))
	id := g.upload("x")
	require.Equal(t, "Completed", g.record(id)["statusName"])
	for _, path := range []string{images, storage} {
		require.Empty(t, g.list(path).Items)
	}
	g.clock.Advance(3*time.Second - 1)
	require.Empty(t, g.list(images).Items)
	g.clock.Advance(1)
	for _, path := range []string{images, storage} {
		require.Equal(t, "My_Machine_Image_chunk", g.list(path).names())
	}
}

func TestGetLag(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithGetLag(3*time.Second))
	id := g.upload("x") // the writes do not lag
	require.Equal(t, 1, g.list(images).Count)
	g.wantError(404, "there is no upload request "+strconv.FormatInt(id, 10), http.MethodGet, at(id), nil)
	require.Equal(t, http.StatusNotFound, g.do(http.MethodHead, at(id), nil).status)
	g.clock.Advance(3 * time.Second)
	require.Equal(t, "Completed", g.record(id)["statusName"])
	require.Equal(t, http.StatusOK, g.do(http.MethodHead, at(id), nil).status)
}

func TestChunkCountLag(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithChunkCountLag(2*time.Second))
	id := g.initiate(3)
	counts := func() [2]any {
		record := g.record(id)
		return [2]any{record["uploadedChunks"], record["pendingChunks"]}
	}
	require.Contains(t, g.chunk(id, 1, "x").body, `"uploadedChunks":1,"pendingChunks":2`)
	require.Equal(t, [2]any{0.0, 3.0}, counts())
	g.clock.Advance(time.Second)
	g.chunk(id, 1, "x") // again
	g.chunk(id, 2, "x")
	g.clock.Advance(time.Second)
	require.Equal(t, [2]any{1.0, 2.0}, counts())
	g.clock.Advance(time.Second)
	require.Equal(t, [2]any{2.0, 1.0}, counts())
	g.chunk(id, 3, "x")
	require.Equal(t, http.StatusOK, g.merge(id).status, "the merge counts what is there")
	require.Equal(t, [2]any{2.0, 1.0}, counts())
}

func TestNoChunkCounts(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{NoChunkCounts: true}))
	id := g.initiate(1)
	require.Equal(t, `{"uploadRequestId":"7934470","checksum":"`+md5Of("x")+`"}`, g.chunk(id, 1, "x").body)
	require.NotContains(t, g.record(id), "uploadedChunks")
	require.NotContains(t, g.record(id), "pendingChunks")
	require.Equal(t, http.StatusOK, g.merge(id).status)
}
