package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// Wrong arguments are found before Temporal is looked for, which is not there.
func TestWrongArguments(t *testing.T) {
	t.Setenv(addressVariable, "127.0.0.1:1")
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	typo := filepath.Join(t.TempDir(), "fleet.json")
	require.NoError(t, os.WriteFile(typo, []byte(`{"name": "a", "imagges": []}`), 0o600))
	for want, args := range map[string][]string{
		"usage: fleet COMMAND":      {"nothing"},
		"demo     ten images":       {},
		"Application":               {"upload", "-version", "1", "-os", "Linux", "-source", "a"},
		"TenantIDs":                 {"copy", "-image", "335eef3f-551d-46e1-8781-173f43209d48"},
		"ImageID":                   {"release"},
		"no such file":              {"publish", "-input", "missing.json"},
		"imagges":                   {"publish", "-input", typo},
		"must be positive":          {"worker", "-transfers", "0"},
		"-id is missing":            {"cancel"},
		"flag provided but not def": {"status", "-demo"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, cli.Usage, run(t.Context(), args, &out, &errs), want)
		require.Contains(t, errs.String(), want)
	}
	var errs bytes.Buffer
	require.Equal(t, cli.Failed, run(t.Context(), []string{"status"}, &errs, &errs))
	require.Contains(t, errs.String(), "connecting to Temporal: ")
	require.Equal(t, cli.Done, run(t.Context(), []string{"-h"}, &errs, &errs))
}

// What the README shows as an input is one.
func TestReadmeInput(t *testing.T) {
	t.Setenv(addressVariable, "127.0.0.1:1")
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(readme), "```json\n")
	text, _, _ := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "night.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	var errs bytes.Buffer
	require.Equal(t, cli.Failed, run(t.Context(), []string{"publish", "-input", path}, &errs, &errs))
	require.Contains(t, errs.String(), "connecting to Temporal: ", "which comes after the checks")
}
