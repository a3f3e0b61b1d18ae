package oraclemarkettest_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// printedHost is the host of the documentation's commands.
const printedHost = "https://ocm-apis.cloud.oracle.com"

func TestSample(t *testing.T) {
	g := newRig(t)
	g.want(200, compact(t, documents.Example(documents.OracleGet, "response")), http.MethodGet, at(oraclemarkettest.SampleID), nil)
	require.Equal(t, "Completed", g.do(http.MethodHead, at(oraclemarkettest.SampleID), nil).header.Get("X-Upload-Status"))
	require.Empty(t, g.Uploads())
	require.Zero(t, g.list(images).TotalResults)
	require.Zero(t, g.list(storage).TotalResults)
	require.Equal(t, http.StatusOK, g.do(http.MethodDelete, at(oraclemarkettest.SampleID), nil).status)
	require.Equal(t, "Deleted", g.record(oraclemarkettest.SampleID)["statusName"])
}

func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	g := newRig(t)
	file := filepath.Join(t.TempDir(), "machineImage.tar.gz")
	content := strings.Repeat("image", 1<<20) // large enough for curl to wait for 100 Continue
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	curl := func(command string, replace ...string) string {
		t.Helper()
		replace = append(replace, printedHost, g.URL, "curl ", "curl -sS ", "FileName to be uploaded", "machineImage.tar.gz")
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "export no_proxy='*'; "+strings.NewReplacer(replace...).Replace(command)).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}

	require.Equal(t, compact(t, documents.Example(documents.OracleGet, "response")), curl(documents.Example(documents.OracleGet, "curl")))

	require.Equal(t, `{"message":"OK","entityId":"7934470"}`,
		curl(documents.Example(documents.OracleCreate, "whole: curl"), `"json=JSON-data-as-shown-in-following-example"`, `'json=`+wholeJSON+`' -F "file=@`+file+`"`))
	sum, err := g.uploaded(7934470).MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of(content), sum)
	require.Equal(t, "machineImage.tar.gz", g.uploaded(7934470).FileName)

	for i, field := range []string{"uploadType=Chunk", "uploadType={Chunk}", "uploadType : ={Chunk}", "uploadType ={Chunk}"} {
		require.Equal(t, `{"message":"OK","entityId":"793447`+string(rune('1'+i))+`"}`,
			curl(documents.Example(documents.OracleCreate, "chunks: curl"), `"json=JSON-data-as-shown-in-following-example"`, `'json=`+chunkJSON+`'`,
				"Total number of Chunks", "3", "uploadType as shown in the following example", field))
	}

	// The other calls of the documentation, in the same style.
	head := `curl -H "X-Oracle-UserId: partner-email" -H "Authorization: Bearer Access-token" `
	for _, chunk := range []string{"1", "2", "3"} {
		got := curl(head + `-H "X-File-Name: x" -H "X-Chunk-Number:` + chunk + `" -F "file=@` + file + `" "` + printedHost + at(7934471) + `/chunk"`)
		require.Contains(t, got, `{"uploadRequestId":"7934471","checksum":"`+md5Of(content)+`","uploadedChunks":`+chunk+`,`)
	}
	require.Equal(t, `{"message":"OK","entityId":"7934471"}`, curl(head+`-X PATCH -F "action=upload" `+printedHost+at(7934471)))
	g.clock.Advance(time.Minute)
	require.Contains(t, curl(head+`-I `+printedHost+at(7934471)), "X-Upload-Status: Completed")
	require.Contains(t, curl(head+`"`+printedHost+images+`?keyword=chunk&limit=1"`), `"totalResults":4`)
	require.Contains(t, curl(head+`-X DELETE -H "Content-Type: application/json" -d '{"datacenters": ["teak"]}' `+printedHost+at(7934471)), "was deleted successfully from teak.")
}
