package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/imagejobs/imagejobs-go/examples/internal/cli"
)

// pidVariable is that of the process to kill when the servers are not needed any
// more.
const pidVariable = "SANDBOX_PID"

// printEnv prints export lines, all at once, and closes the output: a command
// substitution that reads them ends.
func (p *program) printEnv(services []service) {
	var text strings.Builder
	for _, s := range services {
		for _, line := range s.env {
			name, value, _ := strings.Cut(line, "=")
			_, _ = fmt.Fprintf(&text, "export %s=%s\n", name, quote(value))
		}
	}
	_, _ = fmt.Fprintf(&text, "export %s=%d\n", pidVariable, os.Getpid())
	_, _ = io.WriteString(p.stdout, text.String())
	if c, ok := p.stdout.(io.Closer); ok {
		_ = c.Close()
	}
}

// quote makes a shell read the text as it is.
func quote(text string) string {
	if !strings.ContainsAny(text, " \t\n\"'`$&|;<>()*?[]#~!\\{}") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func (p *program) printJSON(services []service, urls map[string]string) error {
	a := addresses{PID: os.Getpid(), Addresses: urls, Env: map[string]string{}}
	for _, s := range services {
		for _, line := range s.env {
			name, value, _ := strings.Cut(line, "=")
			a.Env[name] = value
		}
	}
	return json.NewEncoder(p.stdout).Encode(a)
}

func printAll(out *cli.Output, services []service) {
	for _, s := range services {
		out.Line("# %s", s.title)
		for _, line := range s.env {
			out.Line("export %s", line)
		}
		for _, line := range s.curl {
			if strings.Contains(line, "@image.tar.gz") {
				out.Changed("image", "head -c 1000000 /dev/urandom > image.tar.gz")
			}
			out.Line("%s", line)
		}
	}
	out.Line("# Ctrl-C ends it.")
}
