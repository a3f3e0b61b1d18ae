package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/imagejobs/imagejobs-go/examples/fleet/workflows"
	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// Wrong arguments are found before Temporal is looked for, which is not there.
func TestWrongArguments(t *testing.T) {
	t.Setenv(addressVariable, "127.0.0.1:1")
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	typo, invalid := filepath.Join(t.TempDir(), "fleet.json"), filepath.Join(t.TempDir(), "fleet.json")
	require.NoError(t, os.WriteFile(typo, []byte(`{"name": "a", "imagges": []}`), 0o600))
	require.NoError(t, os.WriteFile(invalid, []byte(`{"name": "a", "images": [{"upload": {"version": "1"}}]}`), 0o600))
	for want, args := range map[string][]string{
		`there is no command "nothing"`:                            {"nothing"},
		"demo     ten images":                                      {},
		"-application must not be empty":                           {"upload", "-version", "1", "-os", "Linux", "-source", "a"},
		"-os must not be empty":                                    {"upload", "-version", "1", "-application", "a", "-source", "a"},
		"-parts must be 0 to 256":                                  {"upload", "-version", "1", "-application", "a", "-os", "Linux", "-source", "a", "-parts", "300"},
		"flag -chunk-size: must be a positive size":                {"upload", "-chunk-size", "-1"},
		"-tenants must not be empty":                               {"copy", "-image", "335eef3f-551d-46e1-8781-173f43209d48", "-tenants", ","},
		"-image must be positive":                                  {"release"},
		"-description must not be empty":                           {"release", "-image", "1", "-machine", "2"},
		"no such file":                                             {"publish", "-input", "missing.json"},
		"imagges":                                                  {"publish", "-input", typo},
		"-input Images[0] UploadImageInput.Application: must not ": {"publish", "-input", invalid},
		"must be positive":                                         {"worker", "-transfers", "0"},
		"-id must not be empty":                                    {"cancel"},
		"-by must not be empty":                                    {"approve", "-id", "a"},
		"-adopt must not be empty":                                 {"resolve", "-id", "a", "-action", "adopt"},
		"-action must be adopt, repeat or give-up":                 {"resolve", "-id", "a", "-action", "adapt"},
		"flag provided but not def":                                {"status", "-demo"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, cli.Usage, run(t.Context(), args, &out, &errs), want)
		require.Contains(t, errs.String(), want)
	}
	var errs bytes.Buffer
	require.Equal(t, cli.Failed, run(t.Context(), []string{"status"}, &errs, &errs))
	require.Contains(t, errs.String(), "cannot reach Temporal at 127.0.0.1:1, without TLS: ")
	require.Equal(t, cli.Done, run(t.Context(), []string{"-h"}, &errs, &errs))
}

// The exit code tells how a job ended, as those of the other programs do.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	ended := func(kind string) error { return temporal.NewNonRetryableApplicationError("reason", kind, nil) }
	for want, errs := range map[int][]error{
		cli.Failed:    {errors.New("call"), ended(workflows.ErrorRefused), ended(workflows.ErrorSourceChanged)},
		cli.Usage:     {ended(workflows.ErrorArgument)},
		cli.Ended:     {ended(workflows.ErrorState), ended(workflows.ErrorFleet), ended(workflows.ErrorNotApproved)},
		cli.Ambiguous: {ended(workflows.ErrorAmbiguous), ended(workflows.ErrorGivenUp)},
	} {
		for _, err := range errs {
			f := &cli.Failure{Code: cli.Failed, Message: err.Error()}
			classify(err, f)
			require.Equal(t, want, f.Code, err)
		}
	}
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
	require.Contains(t, errs.String(), "cannot reach Temporal at ", "which comes after the checks")
}
