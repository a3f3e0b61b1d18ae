package clitest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Terminal is a pty of a given size.
type Terminal struct {
	// TTY is the end that a program has as its standard output.
	TTY *os.File

	master *os.File
	read   chan struct{} // closed when there is no more to read

	mu      sync.Mutex
	changed *sync.Cond
	screen  screen
	written strings.Builder
}

// Open opens a terminal.
func Open(columns, rows int) (_ *Terminal, err error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = master.Close()
		}
	}()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	size := &unix.Winsize{Row: uint16(rows), Col: uint16(columns)} //nolint:gosec // small numbers
	if err := errors.Join(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)); err != nil {
		return nil, err
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t := &Terminal{TTY: tty, master: master, read: make(chan struct{}), screen: screen{columns: columns, height: rows}}
	if columns == 0 {
		t.screen.columns = 80 // what people see where no width is known
	}
	t.changed = sync.NewCond(&t.mu)
	go t.follow()
	return t, nil
}

func (t *Terminal) follow() {
	defer close(t.read)
	buf := make([]byte, 4096)
	partial := ""
	for {
		n, err := t.master.Read(buf)
		text := partial + string(buf[:n])
		whole := len(text)
		for whole > 0 && whole > len(text)-utf8.UTFMax && !utf8.ValidString(text[:whole]) {
			whole-- // the last rune comes in two parts
		}
		partial = text[whole:]
		t.mu.Lock()
		t.screen.write(text[:whole])
		t.written.WriteString(text[:whole])
		t.changed.Broadcast()
		t.mu.Unlock()
		if err != nil { // all programs have closed it
			return
		}
	}
}

// Type sends what a person types.
func (t *Terminal) Type(text string) error {
	_, err := t.master.WriteString(text)
	return err
}

// Screen returns what is on the screen, and above it.
func (t *Terminal) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

// WaitFor returns the screen once the text was written, even if it is erased
// already.
func (t *Terminal) WaitFor(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !strings.Contains(t.written.String(), text) {
		t.changed.Wait()
	}
	return t.screen.String()
}

// Wrapped returns the lines that were too long for the terminal.
func (t *Terminal) Wrapped() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.wrapped
}

// Close closes the terminal and returns the last screen.
func (t *Terminal) Close() (string, error) {
	err := t.TTY.Close()
	<-t.read
	return t.Screen(), errors.Join(err, t.master.Close())
}
