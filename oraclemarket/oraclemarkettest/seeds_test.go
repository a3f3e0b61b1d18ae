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

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// The commands and the response as the documentation prints them.
const (
	printedHost = "https://ocm-apis.cloud.oracle.com"

	curlDetails  = `curl -X GET -H "X-Oracle-UserId: partner-email" -H "Authorization: Bearer Access-token" "https://ocm-apis.cloud.oracle.com/appstore/publisher/v1/machineimages/2797087"`
	curlWhole    = `curl -X POST -H "X-Oracle-UserId: partner-email" -H "Authorization: Bearer Access-token" -H "X-File-Name: FileName to be uploaded" -F "json=JSON-data-as-shown-in-following-example" "https://ocm-apis.cloud.oracle.com/appstore/publisher/v1/machineimages"`
	curlInitiate = `curl -X POST -H "X-Oracle-UserId: partner-email" -H "Authorization: Bearer Access-token" -H "X-File-Name: FileName to be uploaded" -H "X-Number-Of-Chunks: Total number of Chunks" -F "json=JSON-data-as-shown-in-following-example" -F "uploadType as shown in the following example" "https://ocm-apis.cloud.oracle.com/appstore/publisher/v1/machineimages"`

	printedDetails = `{
    "uploadRequestId": 2797087,
    "application": "APS1826_WWP_061218",
    "version": "OL67",
    "operatingSystem": "Linux",
    "fileName": "wordpress.tar.gz",
    "imageFilePath": "oracle_pdc2/mi/APS1826_WWP_061218/OL67/Linux/wordpress.tar.gz",
    "statusName": "Completed",
    "uploadedChunks": 75,
    "pendingChunks": 0,
    "createdBy": "John Doe",
    "createdDate": "2018-06-12T04:28:50.001Z",
    "lastModifiedBy": "anonymous",
    "lastModifiedDate": "2018-06-12T04:52:51.001Z",
    "overwriteStorageFile": false,
    "dataCenterImageUploadRequests": [
        {
            "dataCenterName": "US2 COMMERCIAL CHERRY",
            "statusName": "Completed",
            "uploadProgress": "100%",
            "region": "US2 Commercial Cherry",
            "lastUpdatedDate": "2018-06-12T04:52:51.001Z",
            "copyUpload": false,
            "overwriteUpload": false,
            "replicaDataCenter": false
        }
    ]
}`
)

func TestSample(t *testing.T) {
	g := newRig(t)
	g.want(200, compact(t, printedDetails), http.MethodGet, at(oraclemarkettest.SampleID), nil)
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

	require.Equal(t, compact(t, printedDetails), curl(curlDetails))

	require.Equal(t, `{"message":"OK","entityId":"7934470"}`,
		curl(curlWhole, `"json=JSON-data-as-shown-in-following-example"`, `'json=`+wholeJSON+`' -F "file=@`+file+`"`))
	sum, err := g.uploaded(7934470).MD5()
	require.NoError(t, err)
	require.Equal(t, md5Of(content), sum)
	require.Equal(t, "machineImage.tar.gz", g.uploaded(7934470).FileName)

	for i, field := range []string{"uploadType=Chunk", "uploadType={Chunk}", "uploadType : ={Chunk}", "uploadType ={Chunk}"} {
		require.Equal(t, `{"message":"OK","entityId":"793447`+string(rune('1'+i))+`"}`,
			curl(curlInitiate, `"json=JSON-data-as-shown-in-following-example"`, `'json=`+chunkJSON+`'`,
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
