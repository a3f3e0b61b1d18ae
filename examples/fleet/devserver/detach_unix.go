//go:build unix

package devserver

import (
	"os/exec"
	"syscall"
)

// detach keeps the Ctrl-C of a terminal from the process: it is for the program
// that started it, which still needs the server while it ends.
func detach(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
