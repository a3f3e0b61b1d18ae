package oraclemarkettest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestChunks(t *testing.T) {
	g := newRig(t)
	id := g.initiate(3)
	require.Equal(t, "Initiated", g.record(id)["statusName"])
	require.Equal(t, []any{}, g.record(id)["dataCenterImageUploadRequests"])
	require.InDelta(t, 3, g.record(id)["pendingChunks"], 0)

	g.clock.Advance(time.Second)
	got := g.chunk(id, 3, "end", "X-MD5-Checksum", md5Of("end"))
	require.Equal(t, fmt.Sprintf(`{"uploadRequestId":"%d","checksum":%q,"uploadedChunks":1,"pendingChunks":2}`, id, md5Of("end")), got.body)
	require.Equal(t, "2024-05-06T07:08:10.123Z", g.record(id)["lastModifiedDate"])
	require.Equal(t, http.StatusOK, g.chunk(id, 1, "begin ").status)
	require.Equal(t, http.StatusOK, g.chunk(id, 2, "wrong ").status)
	got = g.chunk(id, 2, "middle ") // replaces
	require.Equal(t, fmt.Sprintf(`{"uploadRequestId":"%d","checksum":%q,"uploadedChunks":3,"pendingChunks":0}`, id, md5Of("middle ")), got.body)
	require.Equal(t, "Initiated", g.record(id)["statusName"])

	u := g.uploaded(id)
	require.Equal(t, 3, u.NumberOfChunks)
	require.Equal(t, map[int]int{1: 1, 2: 2, 3: 1}, u.Receipts)
	require.Equal(t, oraclemarkettest.Chunk{Size: 7, MD5: md5Of("middle ")}, u.Chunks[2])
	require.Equal(t, int64(16), u.Bytes)
	_, err := u.MD5()
	require.ErrorContains(t, err, "is not merged")
	_, err = u.Open()
	require.ErrorContains(t, err, "is not merged")

	got = g.merge(id)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, fmt.Sprintf(`{"message":"OK","entityId":"%d"}`, id), got.body)
	sum, err := g.uploaded(id).MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of("begin middle end"), sum)
	require.Equal(t, "begin middle end", read(t, g.uploaded(id)))
	require.Equal(t, oraclemarkettest.Pending, g.uploaded(id).Status)

	g.clock.Advance(time.Hour)
	require.Equal(t, got.body, g.merge(id).body, "a repeated merge is acknowledged again")
	require.Equal(t, oraclemarkettest.Completed, g.uploaded(id).Status, "and changes nothing")
	g.wantFormError(400, "accepts no chunks: it is Completed", at(id)+"/chunk", []field{{"file", "x", "x"}}, "X-Chunk-Number", "1")
	require.Equal(t, 4, g.Processed(oraclemarkettest.OpUploadChunk))
	require.Equal(t, 5, g.Count(oraclemarkettest.OpUploadChunk))
}

func TestChunkRefusals(t *testing.T) {
	g := newRig(t)
	id := g.initiate(2)
	path := at(id) + "/chunk"
	file := []field{{"file", "x", "x"}}
	g.wantFormError(400, "X-Chunk-Number header is missing", path, file)
	g.wantFormError(400, `X-Chunk-Number "-1"`, path, file, "X-Chunk-Number", "-1")
	g.wantFormError(400, "X-File-Name header is missing", path, file, "X-Chunk-Number", "1", "X-File-Name", "")
	g.wantFormError(400, "no part named file", path, []field{{name: "data", value: "x"}}, "X-Chunk-Number", "1")
	g.wantFormError(400, "X-MD5-Checksum is 1234", path, file, "X-Chunk-Number", "1", "X-MD5-Checksum", "1234")
	g.wantFormError(404, "there is no upload request 1", at(1)+"/chunk", file, "X-Chunk-Number", "1")
	g.wantFormError(400, `"x" is not a number`, images+"/x/chunk", file, "X-Chunk-Number", "1")
	whole := g.create("x")
	g.wantFormError(400, "accepts no chunks", at(whole)+"/chunk", file, "X-Chunk-Number", "1")
	u := g.uploaded(id)
	require.Empty(t, u.Chunks)
	require.Empty(t, u.Receipts)
}

// A chunk counts once it was received to its end, and not before.
func TestTruncatedChunk(t *testing.T) {
	dir := t.TempDir()
	g := newRig(t, oraclemarkettest.WithDir(dir))
	id := g.initiate(1)
	body, contentType := form(field{"file", "x", strings.Repeat("x", 1<<20)})
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.CopyN(pw, body, 1<<19)
		_ = pw.CloseWithError(io.ErrClosedPipe)
	}()
	_, err := g.send(http.MethodPost, at(id)+"/chunk", pr, "Content-Type", contentType, "X-File-Name", "x", "X-Chunk-Number", "1")
	require.ErrorIs(t, err, io.ErrClosedPipe)
	g.Close()
	require.Empty(t, g.uploaded(id).Chunks)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestMergeChecksTheNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		opts    []oraclemarkettest.Option
		numbers []int
		fault   string
	}{
		"from 1":   {nil, []int{1, 2, 3}, ""},
		"from 0":   {nil, []int{0, 1, 2}, ""},
		"missing":  {nil, []int{1, 3}, "3 chunks were announced in X-Number-Of-Chunks, but 2 received; the numbers are 1,3"},
		"none":     {nil, nil, "but 0 received; the numbers are none"},
		"too many": {nil, []int{0, 1, 2, 3}, "but 4 received; the numbers are 0-3"},
		"gap":      {nil, []int{1, 2, 4}, "they are 1-2,4, and should count 3 from 0 or from 1"},
		"from 2":   {nil, []int{2, 3, 4}, "they are 2-4, and should count 3 from 0 or from 1"},
		"strictly from 1": {
			[]oraclemarkettest.Option{oraclemarkettest.WithFirstChunkNumber(1)}, []int{0, 1, 2}, "they are 0-2, and should count 3 from 1",
		},
		"strictly from 0": {[]oraclemarkettest.Option{oraclemarkettest.WithFirstChunkNumber(0)}, []int{0, 1, 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, test.opts...)
			id := g.initiate(3)
			var content strings.Builder
			for _, number := range test.numbers {
				content.WriteString(strconv.Itoa(number))
				require.Equal(t, http.StatusOK, g.chunk(id, number, strconv.Itoa(number)).status)
			}
			if test.fault != "" {
				body, contentType := form(field{name: "action", value: "upload"})
				g.wantError(400, test.fault, http.MethodPatch, at(id), body, "Content-Type", contentType)
				require.Equal(t, "Initiated", g.record(id)["statusName"])
				return
			}
			g.entityID(g.merge(id))
			require.Equal(t, content.String(), read(t, g.uploaded(id)))
		})
	}
}

// The documentation's prose has the first chunk in the initiate call.
func TestFirstChunkWithInitiate(t *testing.T) {
	for name, test := range map[string]struct {
		headers []string
		others  []int
		fault   string
	}{
		"others from 1":     {nil, []int{1, 2}, ""},
		"others from 2":     {nil, []int{2, 3}, ""},
		"others from 3":     {nil, []int{3, 4}, "they are (first),3-4"},
		"with a number":     {[]string{"X-Chunk-Number", "1"}, []int{2, 3}, ""},
		"sent again":        {[]string{"X-Chunk-Number", "1"}, []int{1, 2, 3}, ""},
		"with wrong number": {[]string{"X-Chunk-Number", "7"}, []int{2, 3}, "they are 2-3,7"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			id := g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}, {"file", "x", "a"}},
				append([]string{"X-Number-Of-Chunks", "3", "X-MD5-Checksum", md5Of("a")}, test.headers...)...))
			require.InDelta(t, 1, g.record(id)["uploadedChunks"], 0)
			for _, number := range test.others {
				g.chunk(id, number, "a")
			}
			if test.fault != "" {
				require.Contains(t, g.merge(id).body, test.fault)
				return
			}
			g.entityID(g.merge(id))
			require.Equal(t, "aaa", read(t, g.uploaded(id)))
		})
	}
	t.Run("with wrong checksum", func(t *testing.T) {
		g := newRig(t)
		g.wantFormError(400, "X-MD5-Checksum", images, []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}, {"file", "x", "a"}}, "X-Number-Of-Chunks", "3", "X-MD5-Checksum", "12")
		require.Empty(t, g.Uploads())
	})
	t.Run("shown as the first", func(t *testing.T) {
		g := newRig(t)
		id := g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}, {"file", "x", "a"}}, "X-Number-Of-Chunks", "3"))
		require.Equal(t, map[int]int{-1: 1}, g.uploaded(id).Receipts)
	})
}

// A server that insists on the first chunk makes nothing of an initiate without
// one.
func TestFirstChunkInInitiate(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{FirstChunkInInitiate: true}))
	fields := []field{{name: "json", value: chunkJSON}, {name: "uploadType", value: "Chunk"}}
	g.wantFormError(400, "no part named file", images, fields, "X-Number-Of-Chunks", "2")
	require.Empty(t, g.Uploads())
	id := g.entityID(g.postForm(images, append(fields, field{"file", "x", "a"}),
		"X-Number-Of-Chunks", "2", "X-Chunk-Number", "1", "X-MD5-Checksum", md5Of("a")))
	require.Equal(t, map[int]oraclemarkettest.Chunk{1: {Size: 1, MD5: md5Of("a")}}, g.uploaded(id).Chunks)
	require.Equal(t, http.StatusOK, g.chunk(id, 2, "b").status)
	g.entityID(g.merge(id))
	require.Equal(t, "ab", read(t, g.uploaded(id)))
}

func TestMergeBodies(t *testing.T) {
	g := newRig(t)
	id := g.upload("a")
	g.want(200, fmt.Sprintf(`{"message":"OK","entityId":"%d"}`, id), http.MethodPatch, at(id),
		strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nupload\r\n--x--\r\n"),
		"Content-Type", "multipart/form-data; boundary=x")
	refused := func(status int, reason, contentType string, body io.Reader) {
		t.Helper()
		g.wantError(status, reason, http.MethodPatch, at(id), body, "Content-Type", contentType)
	}
	for action, reason := range map[string]string{"Action": `action "" is not upload`, "action": `action "cancel" is not upload`} {
		body, contentType := form(field{name: action, value: "cancel"})
		refused(400, reason, contentType, body)
	}
	refused(400, "reading the form", "multipart/form-data; boundary=x", strings.NewReader("{"))
	refused(415, "not multipart/form-data", "application/x-www-form-urlencoded", strings.NewReader("action=upload"))
	refused(415, "not multipart/form-data", "application/json", strings.NewReader(`{"action":"upload"}`))
	refused(415, "not multipart/form-data", "", nil)
	id = 5
	body, contentType := form(field{name: "action", value: "upload"})
	refused(404, "there is no upload request 5", contentType, body)
	id = g.create("x")
	body, contentType = form(field{name: "action", value: "upload"})
	refused(400, "not a chunked one", contentType, body)
}

func TestChunksInParallel(t *testing.T) {
	const chunks, size = 16, 1 << 18
	g := newRig(t)
	id := g.initiate(chunks)
	var image bytes.Buffer
	for i := range chunks {
		image.WriteString(strings.Repeat(string(rune('a'+i)), size))
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := worker; i < chunks; i += 4 {
				g.chunk(id, i+1, image.String()[i*size:(i+1)*size])
				g.chunk(id, i+1, image.String()[i*size:(i+1)*size])
				_ = g.Uploads()
			}
		})
	}
	group.Wait()
	g.entityID(g.merge(id))
	var sums [2]string
	for i := range sums {
		group.Go(func() { sums[i], _ = g.uploaded(id).MD5() })
	}
	group.Wait()
	require.Equal(t, md5Of(image.String()), sums[0])
	require.Equal(t, sums[0], sums[1])
	require.Equal(t, 2, g.uploaded(id).Receipts[7])
}
