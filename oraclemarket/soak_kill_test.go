package oraclemarket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

// soakKill is a moment at which a process is killed, its zero value none.
type soakKill struct {
	name  string
	there func() bool // has it come so far
	sync  int         // of a checkpoint, where it kills itself
}

// randomKill is a moment in an initiate call, a chunk, a merge or a save, or
// any moment. A process that never gets there is not killed.
func (u *soaked) randomKill() *soakKill {
	switch u.random.IntN(6) {
	case 0:
		end := time.Now().Add(time.Duration(u.random.Int64N(int64(400 * time.Millisecond))))
		return &soakKill{name: "anywhere", there: func() bool { return time.Now().After(end) }}
	case 1:
		return u.killIn("initiate", oraclemarkettest.OpInitiate, 0)
	case 2:
		return u.killIn("merge", oraclemarkettest.OpMerge, 0)
	case 3:
		// Two syncs make a save, and the folder's may come before.
		return &soakKill{name: "save", sync: 1 + u.random.IntN(2*u.chunks)}
	default:
		return u.killIn("chunk", oraclemarkettest.OpUploadChunk, u.random.IntN(u.chunks))
	}
}

// killIn is the moment when a request after skip others of an operation arrives,
// is half read, is under way, or has been processed; holding it there takes a
// fault.
func (u *soaked) killIn(name, operation string, skip int) *soakKill {
	begun, processed := u.Count(operation), u.Processed(operation)
	arrives := func() bool { return u.Count(operation) > begun+skip }
	hold := oraclemarkettest.Fault{Operation: operation, Skip: skip, Delay: time.Minute, Times: -1}
	switch u.random.IntN(4) {
	case 0:
		return &soakKill{name: name + " under way", there: arrives}
	case 1:
		hold.Drop = oraclemarkettest.DropBefore
		u.Inject(hold)
		return &soakKill{name: name + " arrived", there: arrives}
	case 2:
		hold.Drop = oraclemarkettest.DropDuring
		u.Inject(hold)
		return &soakKill{name: name + " half read", there: arrives}
	default:
		u.Inject(hold)
		return &soakKill{name: name + " processed", there: func() bool { return u.Processed(operation) > processed+skip }}
	}
}

// start runs a process to its end, and reports whether that was the kill, and
// how many chunks were acknowledged.
func (u *soaked) start(t *testing.T, kill *soakKill) (p *process, killed bool, acknowledged int) {
	t.Helper()
	task := *u.task
	task.KillAtSync = kill.sync
	p = startProcess(t, &task)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for line := range p.lines {
			if line == acknowledgedLine {
				acknowledged++
			}
		}
	}()
	if kill.there != nil {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for waits := true; waits; {
			select {
			case <-ended:
				waits = false
			case <-tick.C:
				waits = !kill.there()
			}
		}
		_ = p.cmd.Process.Kill() // unless it has ended
	}
	<-ended
	err := p.cmd.Wait()
	killed = err != nil && p.stderr.Len() == 0
	require.True(t, !killed || kill.name != "", "it ended without a word: %v", err)
	return p, killed, acknowledged
}
