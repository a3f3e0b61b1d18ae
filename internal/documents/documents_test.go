package documents_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/documents"
)

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("*.txt")
	require.NoError(t, err)
	require.Len(t, documents.All(), len(files))
	for _, document := range documents.All() {
		require.NotEmpty(t, documents.Title(document))
		data, err := os.ReadFile(document + ".txt")
		require.NoError(t, err)
		require.Contains(t, string(data), "\nSource: https://")
		examples := documents.Examples(document)
		require.Len(t, examples, strings.Count(string(data), "\n--- "))
		for name, example := range examples {
			require.NotEmpty(t, strings.TrimSpace(example), name)
			require.Equal(t, example, documents.Example(document, name))
		}
	}
	require.Equal(t, "None", documents.Example(documents.OracleGet, "request body"))
	require.Panics(t, func() { documents.Example(documents.OracleGet, "other") })
	require.Panics(t, func() { documents.Title("other") })
}

// The fixtures of the clients are the examples. Of Multiplay's the placeholders
// are filled in.
func TestFixtures(t *testing.T) {
	_, job, _ := strings.Cut(documents.Example(documents.ReplicatorGet, "execution: response"), "\n\n")
	_, unauthorized, _ := strings.Cut(documents.Example(documents.ReplicatorGet, "error: response"), "\n\n")
	spaced := strings.NewReplacer(
		"<copy progress>", "12", "<destination image_id>", "0b1e5d34-5c3c-4d0f-9c0e-0f6f4bde6a01",
		"<destination region_id>", "ot2", "<job_id>", "33911588-c299-4369-a240-7e5b741cdb6a",
		"<source image_id>", "335eef3f-551d-46e1-8781-173f43209d48", "<source image_name>", "Test-image-Ubuntu", "<source region_id>", "ot1",
		"<destination tenant_id>", "91b5c7c09cbd45caa3c146fd67ae471e", "<source tenant_id>", "236ae314ef6944f4ab98fa7519e54325",
		"<status>", "replicating",
	).Replace(documents.Example(documents.ReplicatorGet, "format"))
	update := func(values map[string]string) string {
		values["updateid"], values["jobcreated"] = "4711", "1700000000"
		return documents.UpdateStatus(values)
	}
	for name, want := range map[string]string{
		"oraclemarket/testdata/status.json":                   documents.Example(documents.OracleGet, "response") + "\n",
		"oraclemarket/testdata/created.json":                  documents.Example(documents.OracleCreate, "whole: response") + "\n",
		"oraclemarket/testdata/initiated.json":                documents.Example(documents.OracleCreate, "chunks: response") + "\n",
		"imagereplicator/testdata/job_execution_example.json": job,
		"imagereplicator/testdata/error_401.txt":              unauthorized + "\n\n", // 44 bytes, as Content-Length says
		"imagereplicator/testdata/job_spaced.json":            spaced + "\n",
		"multiplay/testdata/update_status.json": update(map[string]string{
			"jobprogress": "40", "jobstateid": "4", "jobstart": `"1700000010"`, "jobeta": "1700000120", "jobfailed": "0",
			"jobupdated": "1700000050", "jobstatename": `"Running"`,
		}) + "\n",
		"multiplay/testdata/update_created.json": update(map[string]string{
			"jobprogress": "0", "jobstateid": "1", "jobfailed": "0", "jobupdated": "1700000000", "jobstatename": `"Created"`,
		}) + "\n",
	} {
		data, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		require.Equal(t, want, string(data), name)
	}
}

// All placeholders are filled, and nothing else is changed.
func TestUpdateStatus(t *testing.T) {
	printed := documents.Example(documents.MultiplayUpdateStatus, "response")
	filled := documents.UpdateStatus(map[string]string{"joberror": `"why"`, "jobprogress": "7"})
	require.True(t, json.Valid([]byte(filled)), filled)
	require.NotContains(t, filled, "<")
	require.Equal(t, strings.Count(printed, ":"), strings.Count(filled, ":"))
	require.Contains(t, filled, `{ "jobprogress": 7, "jobstateid": null, "jobstart": null, "joberror": "why", `)
}

func TestVariations(t *testing.T) {
	require.Equal(t, map[string]string{
		"a":   `{"a":2,"b":[{"c":true,"d":"x"}],"e":null,"f":"2018-06-12T04:28:50.001Z"}`,
		"b.c": `{"a":1,"b":[{"c":false,"d":"x"}],"e":null,"f":"2018-06-12T04:28:50.001Z"}`,
		"b.d": `{"a":1,"b":[{"c":true,"d":"1x"}],"e":null,"f":"2018-06-12T04:28:50.001Z"}`,
		"e":   `{"a":1,"b":[{"c":true,"d":"x"}],"e":"other","f":"2018-06-12T04:28:50.001Z"}`,
		"f":   `{"a":1,"b":[{"c":true,"d":"x"}],"e":null,"f":"2018-06-12T05:28:50.001Z"}`,
	}, documents.Variations(`{"a":1,"b":[{"c":true,"d":"x"}],"e":null,"f":"2018-06-12T04:28:50.001Z"}`))
}
