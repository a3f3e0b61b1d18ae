package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// argumentError stands for those of the packages.
type argumentError struct{ field, problem string }

func (e *argumentError) Error() string { return "pkg: " + e.field + ": " + e.problem }

var errAmbiguous = errors.New("may have been carried out")

func command(do func(context.Context, *Output) error) *Command {
	return &Command{
		Name: "prog", Synopsis: "-id ID", Service: "svc", Operation: "op",
		Variables: []string{"PROG_TEST_ENDPOINT"}, Flags: []string{"id"}, Pipeline: true,
		Define: func(flags *flag.FlagSet) { flags.String("id", "", "") },
		Fields: map[string]string{"Request.ID": "-id"},
		Classify: func(err error, f *Failure) {
			if wrong, ok := errors.AsType[*argumentError](err); ok {
				f.Field, f.Problem = wrong.field, wrong.problem
			}
			if errors.Is(err, errAmbiguous) {
				f.Code = Ambiguous
			}
		},
		Do: do,
	}
}

func TestExitCodes(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		err    error
		args   []string
		code   int
		stderr string
	}{
		"done":                 {code: Done},
		"failed":               {err: io.ErrUnexpectedEOF, code: Failed, stderr: "prog: unexpected EOF\n"},
		"ended":                {err: WithCode(io.EOF, Ended), code: Ended, stderr: "prog: EOF\n"},
		"ambiguous":            {err: errAmbiguous, code: Ambiguous, stderr: "prog: may have been carried out\n"},
		"interrupted":          {ctx: canceled, err: context.Canceled, code: Interrupted, stderr: "prog: context canceled\n"},
		"interrupted in doubt": {ctx: canceled, err: errAmbiguous, code: Ambiguous, stderr: "prog: may have been carried out\n"},
		"flag":                 {args: []string{"-x"}, code: Usage, stderr: "prog: flag provided but not defined: -x\nSee prog -h.\n"},
		"argument":             {args: []string{"x"}, code: Usage, stderr: "prog: unexpected argument \"x\"\nSee prog -h.\n"},
		"field":                {err: &argumentError{"Request.ID", "must be positive"}, code: Usage, stderr: "prog: -id must be positive\nSee prog -h.\n"},
		"variable":             {err: &argumentError{"pkg.FromEnv: PROG_KEY", "must be set"}, code: Usage, stderr: "prog: PROG_KEY must be set\nSee prog -h.\n"},
		"unknown field":        {err: &argumentError{"Request.X", "is wrong"}, code: Usage, stderr: "prog: pkg: Request.X: is wrong\nSee prog -h.\n"},
		"help":                 {args: []string{"-h"}, err: io.EOF, code: Done},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			var stdout, stderr bytes.Buffer
			code := command(func(context.Context, *Output) error { return test.err }).Run(ctx, test.args, &stdout, &stderr)
			require.Equal(t, test.code, code)
			require.Equal(t, test.stderr, stderr.String())
			if name == "help" {
				require.Contains(t, stdout.String(), "usage: prog -id ID\n")
				require.Contains(t, stdout.String(), "130  interrupted")
			}
		})
	}
}

// The built-in service is used only if nothing names the real one.
func TestDemo(t *testing.T) {
	for _, test := range []struct {
		args     []string
		variable string
		demo     bool
	}{
		{nil, "", true},
		{[]string{"-json"}, "", true},
		{[]string{"-id", "1"}, "", false},
		{nil, "https://svc.example.com", false},
		{[]string{"-demo"}, "https://svc.example.com", true},
		{[]string{"-demo", "-id", "1"}, "", true},
		{[]string{"-demo=false"}, "", false},
	} {
		t.Setenv("PROG_TEST_ENDPOINT", test.variable)
		var stdout bytes.Buffer
		command(func(_ context.Context, out *Output) error {
			require.Equal(t, test.demo, out.Demo, test.args)
			out.Begin("http://127.0.0.1:1")
			return nil
		}).Run(t.Context(), test.args, &stdout, io.Discard)
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		require.Equal(t, test.demo, strings.Contains(lines[0], "demo: using the built-in service at http://127.0.0.1:1"), test.args)
		require.Equal(t, test.demo, strings.Contains(lines[len(lines)-1], "demo: that was the built-in service"), test.args)
	}
}

func events(t *testing.T, text string) (all []Event) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	for decoder.More() {
		var e Event
		require.NoError(t, decoder.Decode(&e), text)
		require.False(t, e.Time.IsZero())
		require.Equal(t, [2]string{"svc", "op"}, [2]string{e.Service, e.Operation})
		e.Time = time.Time{}
		all = append(all, e)
	}
	return all
}

func TestEvents(t *testing.T) {
	var stdout bytes.Buffer
	command(func(_ context.Context, out *Output) error {
		out.Begin("http://127.0.0.1:1")
		out.Changed("line", "for people")
		bar := out.Bar("copy")
		bar.Set(Event{Event: Status, IDs: IDs{"id": "a"}, State: "running", Progress: &Progress{Percent: 40}})
		return errAmbiguous
	}).Run(t.Context(), []string{"-json"}, &stdout, io.Discard)
	code := Ambiguous
	demo := Event{Service: "svc", Operation: "op", Demo: true}
	want := []Event{demo, demo, demo, demo}
	want[0].Event, want[0].Endpoint = Begin, "http://127.0.0.1:1"
	want[0].Message = "demo: using the built-in service at http://127.0.0.1:1, not the real one"
	want[1].Event, want[1].IDs, want[1].State, want[1].Progress = Status, IDs{"id": "a"}, "running", &Progress{Percent: 40}
	want[1].Message = "copy:  40% running"
	want[2].Event, want[2].Message = Error, errAmbiguous.Error()
	want[2].Error = &Failure{Kind: "ambiguous", Message: errAmbiguous.Error()}
	want[3].Event, want[3].ExitCode, want[3].Message = End, &code, "demo: that was the built-in service; the real one was not called"
	require.Equal(t, want, events(t, stdout.String()))
}

// Wrong arguments are events as well.
func TestEventsOfWrongArguments(t *testing.T) {
	var stdout bytes.Buffer
	require.Equal(t, Usage, command(nil).Run(t.Context(), []string{"-x", "-json"}, &stdout, io.Discard))
	all := events(t, stdout.String())
	require.Equal(t, "usage", all[0].Error.Kind)
	require.Equal(t, Usage, *all[1].ExitCode)
}

// A program that has nothing new to print does not seem to hang.
func TestQuiet(t *testing.T) {
	for _, args := range [][]string{{"-id", "1"}, {"-id", "1", "-json"}} {
		synctest.Test(t, func(t *testing.T) {
			var stdout bytes.Buffer
			command(func(_ context.Context, out *Output) error {
				<-time.After(9500 * time.Millisecond)
				bar := out.Bar("copy")
				bar.Set(Event{Event: Status, State: "running", Progress: &Progress{Percent: 40}})
				<-time.After(21 * time.Second)
				return nil
			}).Run(t.Context(), args, &stdout, io.Discard)
			lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
			for i, want := range []string{"working, after 9s", "copy:  40% running", "copy:  40% running, after 19s", "copy:  40% running, after 28s"} {
				require.Contains(t, lines[i], want)
			}
			require.Equal(t, 4, len(lines)-strings.Count(stdout.String(), `"event":"end"`))
		})
	}
}

// Lines about bytes come now and then, and at the end once.
func TestLinesAboutBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stdout bytes.Buffer
		command(func(_ context.Context, out *Output) error {
			bar := out.Bar("uploading")
			for i := range int64(21) {
				bar.Set(Event{Event: Moved, Progress: BytesProgress(i<<20, 20<<20, 1<<20, time.Duration(20-i)*time.Second)})
				<-time.After(time.Second)
			}
			bar.Set(Event{Event: Moved, Progress: BytesProgress(20<<20, 20<<20, 1<<20, 0)})
			return nil
		}).Run(t.Context(), []string{"-id", "1"}, &stdout, io.Discard)
		require.Equal(t, strings.Join([]string{
			"uploading:   0% 0 B of 20.0 MiB, 1.0 MiB/s, 20s left",
			"uploading:  25% 5.0 MiB of 20.0 MiB, 1.0 MiB/s, 15s left",
			"uploading:  50% 10.0 MiB of 20.0 MiB, 1.0 MiB/s, 10s left",
			"uploading:  75% 15.0 MiB of 20.0 MiB, 1.0 MiB/s, 5s left",
			"uploading: 100% 20.0 MiB of 20.0 MiB, 1.0 MiB/s", "",
		}, "\n"), stdout.String())
	})
}

// closedPipe is a pipe whose reader went away after some bytes.
type closedPipe struct{ left int }

func (p *closedPipe) Write(data []byte) (int, error) {
	if p.left -= len(data); p.left < 0 {
		return 0, fs.ErrClosed
	}
	return len(data), nil
}

func TestClosedPipe(t *testing.T) {
	var stderr bytes.Buffer
	cleaned := false
	code := command(func(ctx context.Context, out *Output) error {
		defer func() { cleaned = true }()
		for ctx.Err() == nil {
			out.Line("a line")
		}
		return ctx.Err()
	}).Run(t.Context(), nil, &closedPipe{100}, &stderr)
	require.Equal(t, Interrupted, code)
	require.True(t, cleaned)
	require.Equal(t, "prog: nobody reads the output any more: context canceled\n", stderr.String())
}

func TestResultFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "result.json")
	require.NoError(t, os.WriteFile(name, []byte("of an older run"), 0o600))
	read := func() (o Outcome) {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &o))
		return o
	}
	args := []string{"-id", "1", "-result", name}
	code := command(func(_ context.Context, out *Output) error {
		require.Equal(t, IDs{}, read().IDs)
		require.NoError(t, out.Keep(IDs{"id": "a"}, "running"))
		require.Equal(t, IDs{"id": "a"}, read().IDs)
		require.Nil(t, read().ExitCode)
		return errAmbiguous
	}).Run(t.Context(), args, io.Discard, io.Discard)
	require.Equal(t, Ambiguous, code)
	last := read()
	require.Equal(t, "svc op running ambiguous", fmt.Sprint(last.Service, " ", last.Operation, " ", last.State, " ", last.Error.Kind))
	require.Equal(t, IDs{"id": "a"}, last.IDs)
	require.Equal(t, Ambiguous, *last.ExitCode)
	entries, err := os.ReadDir(filepath.Dir(name))
	require.NoError(t, err)
	require.Len(t, entries, 1)

	// Neither a check nor wrong arguments touch it.
	before := read()
	require.Zero(t, command(func(context.Context, *Output) error { return nil }).Run(t.Context(), append(args, "-check"), io.Discard, io.Discard))
	require.Equal(t, Usage, command(nil).Run(t.Context(), append(args, "x"), io.Discard, io.Discard))
	require.Equal(t, before, read())

	var stderr bytes.Buffer
	args[3] = filepath.Join(name, "no", "folder")
	require.Equal(t, Usage, command(nil).Run(t.Context(), args, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "prog: -result ")
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"64MiB": 64 << 20, "64 mib": 64 << 20, "1GiB": 1 << 30, "1.5KiB": 1536, "131072": 131072, "100MB": 100e6, "7B": 7, "2TiB": 2 << 40,
	} {
		var s Size
		require.NoError(t, s.Set(text), text)
		require.Equal(t, want, s, text)
		var again Size
		require.NoError(t, again.Set(s.String()))
		require.Equal(t, s, again)
	}
	require.Equal(t, "64MiB", new(Size(64<<20)).String())
	for _, text := range []string{"", "0", "-1", "64M", "MiB", "0.3B", "1e30TiB", "NaN", "x"} {
		require.EqualError(t, new(Size).Set(text), fmt.Sprintf("must be a positive size such as 64MiB, not %q", text))
	}
}

func TestBarLineFits(t *testing.T) {
	for width := 1; width < 130; width++ {
		for _, e := range []*Event{
			{Progress: BytesProgress(300<<20, 1<<30, 12<<20, 724*time.Second/12)},
			{Progress: BytesProgress(1<<30, 1<<30, 12<<20, 0)},
			{State: "replicate_requested", Progress: &Progress{Percent: 100}},
		} {
			require.LessOrEqual(t, len([]rune(barLine("91b5c7c09cbd45caa3c146fd67ae471e", e, width))), width)
		}
	}
}
