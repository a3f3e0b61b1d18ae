package oraclemarkettest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	require.Equal(t, []oraclemarkettest.Part{
		{Name: "json", Size: int64(len(wholeJSON))}, {Name: "file", FileName: "machineImage.tar.gz", Size: 9},
	}, entry.Parts)
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
	g.wantFormError(400, "X-MD5-Checksum is 1234, but the 9 bytes received have", images, []field{spec, file}, "X-MD5-Checksum", "1234")
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

// A stored file, or one on its way there, is replaced only where that is asked
// for, by whichever call. Uploads that are not merged are in nobody's way, and
// nor are those that left no file.
func TestOverwrite(t *testing.T) {
	for _, outcome := range []oraclemarkettest.Outcome{oraclemarkettest.Completes, oraclemarkettest.Fails, oraclemarkettest.IsRejected} {
		g := newRig(t, oraclemarkettest.WithOutcome(outcome), oraclemarkettest.WithJobTime(10*time.Second))
		file, chunk := field{"file", "machineImage.tar.gz", "x"}, field{name: "uploadType", value: "Chunk"}
		try := func() (whole, chunked reply) {
			return g.postForm(images, []field{{name: "json", value: chunkJSON}, file}),
				g.postForm(images, []field{{name: "json", value: chunkJSON}, chunk}, "X-Number-Of-Chunks", "1")
		}
		refused := func(status string) {
			t.Helper()
			whole, chunked := try()
			for _, got := range []reply{whole, chunked} {
				require.Equal(t, http.StatusBadRequest, got.status, got.body)
				require.Contains(t, got.body, "Invalid Parameter Value: the file mi/My_Machine_Image_chunk/1.0/linux/machineImage.tar.gz is "+
					status+" in upload request 7934471, and overwriteStorageFile is not true")
			}
		}
		first, second := g.initiate(1), g.initiate(1)
		require.Equal(t, http.StatusOK, g.chunk(second, 1, "x").status)
		require.Equal(t, http.StatusOK, g.merge(second).status)
		refused("Pending")
		g.clock.Advance(2 * time.Second)
		refused("In Progress")
		g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, file}, "X-File-Name", "other.tar.gz"))
		require.Equal(t, http.StatusOK, g.chunk(first, 1, "x").status, "what was begun before continues")

		g.clock.Advance(time.Minute)
		if outcome == oraclemarkettest.Completes {
			refused("Completed")
			overwriting := strings.Replace(chunkJSON, "}", `,"overwriteStorageFile":true}`, 1)
			third := g.entityID(g.postForm(images, []field{{name: "json", value: overwriting}, file}))
			g.do(http.MethodDelete, at(third), nil)
			refused("Completed")
			g.do(http.MethodDelete, at(second), nil)
		}
		whole, _ := try()
		require.Equal(t, http.StatusOK, whole.status, "there is no file")
	}
}

// Field names and values as the documentation prints them, spaces and braces
// included.
func TestUploadTypeSpellings(t *testing.T) {
	g := newRig(t)
	for _, f := range []field{
		{name: "uploadType", value: "Chunk"}, {name: "uploadType", value: "{Chunk}"}, {name: "uploadType ", value: " {Chunk}"},
		{name: "uploadType :", value: "chunk"}, {name: "uploadType", value: ": {Chunk}"},
	} {
		g.entityID(g.postForm(images, []field{{name: "json", value: chunkJSON}, f}, "X-Number-Of-Chunks", "3"))
	}
	g.wantFormError(400, "no field named uploadType", images, []field{{name: "json", value: chunkJSON}}, "X-Number-Of-Chunks", "3")
	require.Len(t, g.Uploads(), 5)
	require.Equal(t, 5, g.Processed(oraclemarkettest.OpInitiate))
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
	// The guide names another header, the reference does not.
	g.wantFormError(400, "X-File-Name header is missing", images, fields, "X-File-Name", "", "X-Filename", "guide.img")
}

func TestCreated201(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{Created: true}))
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
	require.ErrorContains(t, err, "did not keep the bytes")
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
