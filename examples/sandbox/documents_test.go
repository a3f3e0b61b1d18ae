package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
	"github.com/imagejobs/imagejobs-go/internal/documents"
	"github.com/imagejobs/imagejobs-go/multiplay"
	"github.com/imagejobs/imagejobs-go/multiplay/multiplaytest"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// serve runs a sandbox until the end of the test.
func serve(t *testing.T, args ...string) addresses {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append(args, "-json", "-speed", "1000"), writer, io.Discard)
		_ = writer.Close()
	}()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, cli.Done, <-ended)
	})
	var a addresses
	require.NoError(t, json.NewDecoder(reader).Decode(&a))
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	return a
}

// curl runs a command and returns the response.
func curl(t *testing.T, dir, command string) (resp *http.Response, body string) {
	t.Helper()
	shell := inShell(t, dir, command+" --silent --show-error --include")
	var stderr bytes.Buffer
	shell.Stderr = &stderr
	out, err := shell.Output()
	require.NoError(t, err, "%s\n%s", command, &stderr)
	// What comes first is the response to an Expect.
	out = bytes.TrimPrefix(out, []byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return parse(t, string(out))
}

// parse reads a response as curl and the documents print it.
func parse(t *testing.T, text string) (resp *http.Response, body string) {
	t.Helper()
	head, body, ok := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	require.True(t, ok, text)
	status, header, _ := strings.Cut(head, "\n")
	resp = &http.Response{Status: strings.TrimPrefix(status, "HTTP/1.1 "), Header: http.Header{}}
	for line := range strings.SplitSeq(header, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		resp.Header.Add(name, value)
	}
	return resp, body
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, []byte(text)), text)
	return b.String()
}

// The documents' own commands, as they are printed but for the host and for what
// they leave to be filled in.
func TestCommandsOfTheDocuments(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	a := serve(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "machineImage.tar.gz"), bytes.Repeat([]byte("image "), 1<<19), 0o600))

	t.Run(documents.Title(documents.OracleGet), func(t *testing.T) {
		resp, body := curl(t, dir, oracleCommand(t, a, documents.OracleGet, ""))
		require.Equal(t, documents.Example(documents.OracleGet, "status"), resp.Status)
		require.Equal(t, compact(t, documents.Example(documents.OracleGet, "response")), body)
	})
	for _, example := range []string{"whole", "chunks"} {
		t.Run(documents.Title(documents.OracleCreate)+" "+example, func(t *testing.T) {
			resp, body := curl(t, dir, oracleCommand(t, a, documents.OracleCreate, example+": "))
			require.Equal(t, documents.Example(documents.OracleCreate, example+": status"), resp.Status)
			ids := regexp.MustCompile(`"79344\d\d"`)
			want := compact(t, documents.Example(documents.OracleCreate, example+": response"))
			require.Equal(t, ids.ReplaceAllString(want, "ID"), ids.ReplaceAllString(body, "ID"))

			created := strings.Trim(ids.FindString(body), `"`)
			_, body = curl(t, dir, strings.Replace(oracleCommand(t, a, documents.OracleGet, ""), "2797087", created, 1))
			var record map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &record))
			require.Equal(t, "machineImage.tar.gz", record["fileName"])
			require.InDelta(t, map[string]int{"whole": 0, "chunks": 3}[example], record["pendingChunks"], 0)
		})
	}
	for example, headers := range map[string][]string{
		"execution": {"Content-Type"}, // its Content-Length is that of another body
		"error":     {"Content-Type", "Content-Length", "Vary", "Connection"},
	} {
		t.Run(documents.Title(documents.ReplicatorGet)+" "+example, func(t *testing.T) {
			want, wantBody := parse(t, documents.Example(documents.ReplicatorGet, example+": response"))
			resp, body := curl(t, dir, replicatorCommand(a, documents.Example(documents.ReplicatorGet, example+": request")))
			require.Equal(t, want.Status, resp.Status)
			require.Equal(t, wantBody, strings.TrimSuffix(body, "\n\n"))
			for _, name := range headers {
				require.NotEmpty(t, want.Header.Get(name), name)
				require.Equal(t, want.Header.Get(name), resp.Header.Get(name), name)
			}
		})
	}
	t.Run("sample request", func(t *testing.T) {
		// The only one whose token is not one of the execution example.
		uri := documents.Example(documents.ReplicatorGet, "sample: request URI")
		uri = strings.NewReplacer("https://example.com", a.Addresses["imagereplicator"], "{job_id}", "33911588-c299-4369-a240-7e5b741cdb6a").Replace(uri)
		resp, _ := curl(t, dir, fmt.Sprintf("curl -H '%s' '%s'", documents.Example(documents.ReplicatorGet, "sample: request header"), uri))
		require.Equal(t, "401 Unauthorized", resp.Status)
		resp, _ = curl(t, dir, fmt.Sprintf("curl -H 'X-Auth-Token: f4328bab05ff4502b397b88657baaefd' '%s'", uri))
		require.Equal(t, "200 OK", resp.Status)
	})
}

// oracleCommand returns a command with what the document shows beside it: the
// headers, and the fields of the form.
func oracleCommand(t *testing.T, a addresses, document, prefix string) string {
	t.Helper()
	command := strings.Replace(documents.Example(document, prefix+"curl"), oraclemarket.DocumentedBaseURL, a.Addresses["oraclemarket"], 1)
	for line := range strings.Lines(documents.Example(document, prefix+"request header")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		printed := regexp.MustCompile(`"` + name + `: [^"]*"`)
		require.Regexp(t, printed, command)
		if name != "X-Oracle-UserId" && name != "Authorization" { // which the command has itself
			command = printed.ReplaceAllString(command, `"`+name+": "+value+`"`)
		}
	}
	fields, ok := strings.CutPrefix(documents.Example(document, prefix+"request body"), "[form-data]\n\n")
	if !ok {
		return command
	}
	for line := range strings.Lines(fields) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		field := fmt.Sprintf("-F '%s=%s'", name, value)
		printed := map[string]string{
			"json":       `-F "json=JSON-data-as-shown-in-following-example"`,
			"uploadType": `-F "uploadType as shown in the following example"`,
		}[name]
		if name == "file" { // the command has none
			require.Equal(t, "File Upload (machineImage.tar.gz)", value)
			field, printed = `-F "file=@machineImage.tar.gz" "http`, `"http`
		}
		require.Contains(t, command, printed)
		command = strings.Replace(command, printed, field, 1)
	}
	return command
}

// replicatorCommand returns the command that sends a request which curl sent.
func replicatorCommand(a addresses, request string) string {
	first, header, _ := strings.Cut(request, "\n")
	path := strings.Fields(first)[1]
	var headers strings.Builder
	for line := range strings.Lines(header) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "Host: ") {
			_, _ = fmt.Fprintf(&headers, " -H '%s'", line)
		}
	}
	return fmt.Sprintf("curl%s '%s%s'", &headers, a.Addresses["imagereplicator"], path)
}

// Multiplay's command with keys and, as its successor has it, with a token.
func TestCommandOfTheDocumentWithEitherCredentials(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	for name, token := range map[string]string{"access key": "", "bearer token": "successor-token"} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, "-multiplay-token", token)
			for name, value := range a.Env {
				t.Setenv(name, value)
			}
			client, err := multiplay.FromEnv()
			require.NoError(t, err)
			update, err := client.ImageUpdates.Create(t.Context(), &multiplay.CreateImageUpdateRequest{
				ImageID: multiplaytest.ImageID, MachineID: multiplaytest.MachineID, Description: "nightly",
				Source: multiplay.SteamSource{AppID: 740},
			})
			require.NoError(t, err)
			_, err = client.ImageUpdates.Wait(t.Context(), update.UpdateID)
			require.NoError(t, err)

			credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Env["MULTIPLAY_ACCESS_KEY"]+":"+a.Env["MULTIPLAY_SECRET_KEY"]))
			if token != "" {
				require.NotContains(t, a.Env, "MULTIPLAY_ACCESS_KEY")
				credentials = "Bearer " + token
			}
			printed := documents.Example(documents.MultiplayUpdateStatus, "curl")
			require.Contains(t, printed, documents.Example(documents.MultiplayUpdateStatus, "url"))
			require.Contains(t, printed, multiplay.DefaultBaseURL)
			command := strings.NewReplacer(
				multiplay.DefaultBaseURL, a.Addresses["multiplay"], "<updateid>", strconv.FormatInt(update.UpdateID, 10),
				"<accountserviceid>", a.Env["MULTIPLAY_ACCOUNT_SERVICE_ID"], "Basic YOUR_AUTH_CREDENTIALS", credentials,
				`\ --`, "--", // its end of the line is lost
			).Replace(printed)
			resp, body := curl(t, t.TempDir(), command)
			require.Equal(t, "200 OK", resp.Status)
			var got, want map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &got), body)
			require.NoError(t, json.Unmarshal([]byte(documents.UpdateStatus(nil)), &want))
			require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
			require.Equal(t, true, got["success"])
			require.Nil(t, got["joberror"])
			require.Equal(t, "Completed", got["jobstatename"])
			require.InDelta(t, update.UpdateID, got["updateid"], 0)

			// The other credentials are refused.
			other := strings.Replace(command, credentials, map[bool]string{true: "Bearer x", false: "Basic eDp5"}[token == ""], 1)
			resp, _ = curl(t, t.TempDir(), other)
			require.Equal(t, "401 Unauthorized", resp.Status)
		})
	}
}
