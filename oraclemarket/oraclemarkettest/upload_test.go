package oraclemarkettest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

func TestWholeFile(t *testing.T) {
	g := newRig(t)
	got := g.postForm(images, []field{{name: "json", value: wholeJSON}, {"file", "machineImage.tar.gz", "the image"}},
		"X-MD5-Checksum", strings.ToUpper(md5Of("the image")))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, `{"message":"OK","entityId":"7934470"}`, got.body)

	require.Equal(t, map[string]any{
		"uploadRequestId": 7934470.0, "application": "My_Machine_Image", "version": "1.0", "operatingSystem": "linux",
		"fileName": "machineImage.tar.gz", "imageFilePath": "oracle_pdc2/mi/My_Machine_Image/1.0/linux/machineImage.tar.gz",
		"statusName": "Pending", "uploadedChunks": 1.0, "pendingChunks": 0.0,
		"createdBy": "partner-email", "createdDate": "2024-05-06T07:08:09.123Z",
		"lastModifiedBy": "anonymous", "lastModifiedDate": "2024-05-06T07:08:09.123Z", "overwriteStorageFile": true,
		"dataCenterImageUploadRequests": []any{map[string]any{
			"dataCenterName": "US2 COMMERCIAL CHERRY", "statusName": "Pending", "uploadProgress": "0%",
			"region": "US2 Commercial Cherry", "lastUpdatedDate": "2024-05-06T07:08:09.123Z",
			"copyUpload": false, "overwriteUpload": false, "replicaDataCenter": false,
		}},
	}, g.record(7934470))

	u := g.uploaded(7934470)
	require.Equal(t, "the image", read(t, u))
	sum, err := u.MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of("the image"), sum)
	require.Equal(t, int64(9), u.Bytes)
	require.True(t, u.OverwriteStorageFile)
	require.Equal(t, "partner-email", u.User)
	require.Equal(t, start, u.Created)

	entry := g.Requests()[0]
	require.Equal(t, oraclemarkettest.OpCreate, entry.Operation)
	require.Equal(t, entry.ContentLength, entry.BodyBytes)
	require.Equal(t, []oraclemarkettest.Part{{Name: "json", Size: int64(len(wholeJSON))}, {Name: "file", FileName: "machineImage.tar.gz", Size: 9}}, entry.Parts)
	require.True(t, entry.Processed)
}

func read(t *testing.T, u oraclemarkettest.Upload) string {
	t.Helper()
	image, err := u.Open()
	require.NoError(t, err)
	text, err := io.ReadAll(image)
	require.NoError(t, err)
	require.NoError(t, image.Close())
	return string(text)
}

func TestCreateRefusals(t *testing.T) {
	g := newRig(t)
	file := field{"file", "machineImage.tar.gz", "the image"}
	spec := field{name: "json", value: wholeJSON}
	chunk := field{name: "uploadType", value: "Chunk"}

	g.wantFormError(400, "X-File-Name header is missing", images, []field{spec, file}, "X-File-Name", "")
	g.wantFormError(400, "no part named file", images, []field{spec})
	g.wantFormError(400, "two parts named file", images, []field{spec, file, file})
	g.wantFormError(400, "no field named json", images, []field{file})
	g.wantFormError(400, "cannot be read", images, []field{{name: "json", value: "{"}, file})
	g.wantFormError(400, "overwriteStorageFile: json", images, []field{{name: "json", value: `{"overwriteStorageFile":"true"}`}, file})
	g.wantFormError(400, "has no application", images, []field{{name: "json", value: `{"Application":"a","version":"1","operatingSystem":"x"}`}, file})
	g.wantFormError(400, "has no version", images, []field{{name: "json", value: `{"application":"a","operatingSystem":"x"}`}, file})
	g.wantFormError(400, "has no operatingSystem", images, []field{{name: "json", value: `{"application":"a","version":"x"}`}, file})
	g.wantFormError(400, "longer than", images, []field{{name: "json", value: strings.Repeat(" ", 65<<10)}, file})
	g.wantFormError(400, "X-MD5-Checksum is 1234, but that of the 9 bytes", images, []field{spec, file}, "X-MD5-Checksum", "1234")
	g.wantFormError(400, "X-Number-Of-Chunks header is missing", images, []field{spec, chunk})
	g.wantFormError(400, `X-Number-Of-Chunks "0"`, images, []field{spec, chunk}, "X-Number-Of-Chunks", "0")
	g.wantFormError(400, `X-Number-Of-Chunks "x"`, images, []field{spec, chunk}, "X-Number-Of-Chunks", "x")
	g.wantFormError(400, `X-Chunk-Number "x"`, images, []field{spec, chunk}, "X-Number-Of-Chunks", "1", "X-Chunk-Number", "x")
	g.wantFormError(400, `uploadType "Whole"`, images, []field{spec, {name: "uploadType", value: "Whole"}}, "X-Number-Of-Chunks", "1")
	g.wantError(415, "not multipart/form-data", http.MethodPost, images, strings.NewReader("{}"), "X-File-Name", "x", "Content-Type", "application/json")
	body, contentType := form(spec, file)
	g.wantError(400, "unexpected EOF", http.MethodPost, images, io.LimitReader(body, 200), "X-File-Name", "x", "Content-Type", contentType)

	require.Empty(t, g.Uploads())
	require.Zero(t, g.Processed(oraclemarkettest.OpCreate))
	require.Zero(t, g.Processed(oraclemarkettest.OpInitiate))
	require.Equal(t, 5, g.Count(oraclemarkettest.OpInitiate)+1)
}

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
	g.wantFormError(400, "takes no chunks: it is Completed", at(id)+"/chunk", []field{{"file", "x", "x"}}, "X-Chunk-Number", "1")
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
	g.wantFormError(400, "takes no chunks", at(whole)+"/chunk", file, "X-Chunk-Number", "1")
	u := g.uploaded(id)
	require.Empty(t, u.Chunks)
	require.Empty(t, u.Receipts)
}

// A chunk counts when it is there completely, and not before.
func TestChunkThatBreaksOff(t *testing.T) {
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
		"from 1":          {nil, []int{1, 2, 3}, ""},
		"from 0":          {nil, []int{0, 1, 2}, ""},
		"missing":         {nil, []int{1, 3}, "3 chunks were announced in X-Number-Of-Chunks, but 2 received; the numbers are 1,3"},
		"none":            {nil, nil, "but 0 received; the numbers are none"},
		"too many":        {nil, []int{0, 1, 2, 3}, "but 4 received; the numbers are 0-3"},
		"gap":             {nil, []int{1, 2, 4}, "they are 1-2,4, and should count 3 from 0 or from 1"},
		"from 2":          {nil, []int{2, 3, 4}, "they are 2-4, and should count 3 from 0 or from 1"},
		"strictly from 1": {[]oraclemarkettest.Option{oraclemarkettest.WithFirstChunkNumber(1)}, []int{0, 1, 2}, "they are 0-2, and should count 3 from 1"},
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
		g.wantFormError(400, "X-MD5-Checksum", images, []field{{name: "json", value: chunkJSON}, {"file", "x", "a"}}, "X-Number-Of-Chunks", "3", "X-MD5-Checksum", "12")
		require.Empty(t, g.Uploads())
	})
	t.Run("shown as the first", func(t *testing.T) {
		g := newRig(t)
		id := g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, {"file", "x", "a"}}, "X-Number-Of-Chunks", "3"))
		require.Equal(t, map[int]int{oraclemarkettest.FirstChunk: 1}, g.uploaded(id).Receipts)
	})
}

func TestMergeBodies(t *testing.T) {
	g := newRig(t)
	id := g.upload("a")
	urlencoded := "application/x-www-form-urlencoded"
	ok := fmt.Sprintf(`{"message":"OK","entityId":"%d"}`, id)
	g.want(200, ok, http.MethodPatch, at(id), strings.NewReader("action=upload"), "Content-Type", urlencoded)
	g.want(200, ok, http.MethodPatch, at(id), strings.NewReader(`{"action":"upload"}`), "Content-Type", "application/json; charset=utf-8")
	g.wantError(400, `action "" is not upload`, http.MethodPatch, at(id), nil)
	g.wantError(400, `action "" is not upload`, http.MethodPatch, at(id), strings.NewReader(`{"Action":"upload"}`), "Content-Type", "application/json")
	g.wantError(400, `action "cancel" is not upload`, http.MethodPatch, at(id), strings.NewReader("action=cancel"), "Content-Type", urlencoded)
	g.wantError(400, "cannot be read", http.MethodPatch, at(id), strings.NewReader("action=%zz"), "Content-Type", urlencoded)
	g.wantError(400, "cannot be read", http.MethodPatch, at(id), strings.NewReader("{"), "Content-Type", "application/json")
	g.wantError(400, "reading the form", http.MethodPatch, at(id), strings.NewReader("{"), "Content-Type", "multipart/form-data; boundary=x")
	g.wantError(415, "a form or JSON, not application/xml", http.MethodPatch, at(id), strings.NewReader("<a/>"), "Content-Type", "application/xml")
	g.wantError(415, "no media type", http.MethodPatch, at(id), strings.NewReader("action=upload"))
	g.wantError(404, "there is no upload request 5", http.MethodPatch, at(5), strings.NewReader("action=upload"), "Content-Type", urlencoded)
	whole := g.create("x")
	g.wantError(400, "not one in chunks", http.MethodPatch, at(whole), strings.NewReader("action=upload"), "Content-Type", urlencoded)
}

// Field names and values as the documentation prints them, spaces and braces included.
func TestUploadTypeSpellings(t *testing.T) {
	g := newRig(t)
	for _, f := range []field{
		{name: "uploadType", value: "Chunk"}, {name: "uploadType", value: "{Chunk}"}, {name: "uploadType ", value: " {Chunk}"},
		{name: "uploadType :", value: "chunk"}, {name: "uploadType", value: ": {Chunk}"},
	} {
		g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, f}, "X-Number-Of-Chunks", "3"))
	}
	g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}}, "X-Number-Of-Chunks", "3"))
	require.Len(t, g.Uploads(), 6)
	require.Equal(t, 6, g.Processed(oraclemarkettest.OpInitiate))
}

func TestFileNames(t *testing.T) {
	g := newRig(t)
	fields := []field{{name: "json", value: wholeJSON}, {"file", "x", "x"}}
	for header, want := range map[string]string{
		"a b.tar.gz":                        "a b.tar.gz",
		url.PathEscape("größe.img"):         "größe.img",
		"100%.img":                          "100%.img",
		url.PathEscape("100%.img"):          "100%.img",
		url.PathEscape("../../etc/passwd"):  "../../etc/passwd",
		"FileName to be uploaded":           "FileName to be uploaded",
		url.PathEscape("日本.img") + "%20.gz": "日本.img .gz",
	} {
		id := g.entityID(g.postForm(images, fields, "X-File-Name", header))
		require.Equal(t, want, g.uploaded(id).FileName)
		require.Equal(t, "x", read(t, g.uploaded(id)))
	}
	id := g.entityID(g.postForm(images, fields, "X-File-Name", "", "X-Filename", "guide.img"))
	require.Equal(t, "guide.img", g.record(id)["fileName"])
}

func TestCreated201(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithCreated201())
	got := g.postForm(images, []field{{name: "json", value: wholeJSON}, {"file", "x", "x"}})
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, g.URL+images+"/7934470", got.header.Get("Location"))
	require.Equal(t, `{"application":"My_Machine_Image","version":"1.0","operatingSystem":"linux"}`, got.body)
	require.Equal(t, 1, g.Processed(oraclemarkettest.OpCreate))
}

func TestDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	g := newRig(t, oraclemarkettest.WithDir(dir))
	id := g.upload("one", "two")
	g.create("whole")
	g.Close()
	for name, want := range map[string]string{fmt.Sprintf("%d-000001", id): "one", fmt.Sprintf("%d-000002", id): "two", fmt.Sprintf("%d-whole", id+1): "whole"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}

func TestTempDirIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	g := newRig(t)
	id := g.upload("one", "two")
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	g.Close()
	entries, err = os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, entries)
	_, err = g.uploaded(id).MD5()
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNoRoomForUploads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	g := newRig(t, oraclemarkettest.WithDir(dir))
	require.NoError(t, os.Remove(dir))
	g.wantFormError(500, "storing the upload", images, []field{{name: "json", value: wholeJSON}, {"file", "x", "x"}})
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err := oraclemarkettest.Start("", oraclemarkettest.WithDir(dir))
	require.Error(t, err)
}

func TestDiscard(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	g := newRig(t, oraclemarkettest.WithDiscard())
	id := g.upload("one", "two")
	g.wantFormError(400, "X-MD5-Checksum", images, []field{{name: "json", value: wholeJSON}, {"file", "x", "x"}}, "X-MD5-Checksum", "12")
	u := g.uploaded(id)
	require.Equal(t, oraclemarkettest.Chunk{Size: 3, MD5: md5Of("two")}, u.Chunks[2])
	_, err := u.MD5()
	require.ErrorContains(t, err, "has not kept the bytes")
	whole := g.uploaded(g.create("whole"))
	sum, err := whole.MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of("whole"), sum)
	_, err = whole.Open()
	require.Error(t, err)
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestWithoutChecksums(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithoutChecksums())
	id := g.initiate(1)
	require.Equal(t, fmt.Sprintf(`{"uploadRequestId":"%d","uploadedChunks":1,"pendingChunks":0}`, id), g.chunk(id, 1, "x", "X-MD5-Checksum", "12").body)
	g.merge(id)
	sum, err := g.uploaded(id).MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of("x"), sum, "on demand it is computed all the same")
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
