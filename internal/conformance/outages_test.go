package conformance

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// lengths are those of the outages.
func lengths() []time.Duration {
	return []time.Duration{time.Second, 10 * time.Second, time.Minute, 4 * time.Minute, 6 * time.Minute}
}

// Up to the limit no outage ends anything, whatever it meets and however it
// shows; past it each ends everything, with the reason and the last state.
func TestOutages(t *testing.T) {
	rows, whole := make([]string, len(works())), true
	var mu sync.Mutex
	t.Run("all", func(t *testing.T) {
		for i, w := range works() {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				row := []string{w.name}
				for j, lasts := range lengths() {
					var worst measured
					for k, how := range waysAway() {
						if leftOut(i+j, k) {
							continue
						}
						t.Run(fmt.Sprintf("%s, %s", lasts, how.name), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								worst = worst.or(meet(t, &w, how, lasts))
							})
						})
					}
					row = append(row, worst.String())
					if worst.during == 0 { // -run selects others
						mu.Lock()
						whole = false
						mu.Unlock()
					}
				}
				mu.Lock()
				defer mu.Unlock()
				rows[i] = "| " + strings.Join(row, " | ") + " |"
			})
		}
	})
	if whole && !t.Failed() && !slices.Contains(rows, "") {
		checkOutageTable(t, rows)
	}
}

// measured is the result of an outage.
type measured struct {
	during, after int           // requests
	ended         time.Duration // after so long, 0 for not
}

func (m measured) or(n measured) measured {
	return measured{max(m.during, n.during), max(m.after, n.after), max(m.ended, n.ended)}
}

func (m measured) String() string {
	if m.ended > 0 {
		return fmt.Sprintf("%d, ends after %s", m.during, m.ended.Round(time.Second))
	}
	return fmt.Sprintf("%d + %d", m.during, m.after)
}

// meet has an outage meet the work.
func meet(t *testing.T, w *work, how away, lasts time.Duration) measured {
	t.Helper()
	r := newOutageRig(t, how, lasts, w.login)
	err := w.run(r)
	m := measured{}
	took := time.Since(r.began)
	m.during, m.after = r.requests()
	t.Logf("%d requests in the outage, %d in the first second after it, done after %s: %v", m.during, m.after, took, err)
	require.Positive(t, m.during)
	if lasts < outageLimit {
		require.NoError(t, err)
		require.LessOrEqual(t, took, max(longJob+time.Minute, lasts+how.asks()+4*time.Minute))
		return m
	}
	m.ended = took
	require.Error(t, err)
	require.NotErrorIs(t, err, errNotInTime)
	require.ErrorContains(t, err, how.reason)
	require.ErrorContains(t, err, w.state)
	require.True(t, transport.IsTransient(err) || errors.Is(err, transport.ErrAmbiguous), "%v", err)
	require.GreaterOrEqual(t, took, outageLimit)
	require.Less(t, took, lasts, "it ended while the outage was on")
	return m
}

// checkOutageTable compares the rows with those of the README. Pauses have
// jitter, so no two runs count the same: what is held is the order of magnitude.
func checkOutageTable(t *testing.T, rows []string) {
	t.Helper()
	const begin, end = "<!-- begin outages -->\n", "<!-- end outages -->\n"
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	table, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		head := "| an outage of | 1 s | 10 s | 1 min | 4 min | 6 min |\n|" + strings.Repeat(" --- |", 6) + "\n"
		table = "\n" + head + strings.Join(rows, "\n") + "\n\n"
		require.NoError(t, os.WriteFile("README.md", []byte(before+begin+table+end+after), 0o644))
		return
	}
	var written []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| an outage of") && !strings.HasPrefix(line, "| --- ") {
			written = append(written, strings.TrimSpace(line))
		}
	}
	require.Len(t, rows, len(written))
	for i := range rows {
		now, then := strings.Split(rows[i], " | "), strings.Split(written[i], " | ")
		require.Equal(t, now[0], then[0])
		for j := 1; j < len(now); j++ {
			a, b := figures(now[j]), figures(then[j])
			require.Len(t, a, len(b), "%s: %s", then[0], then[j])
			for k := range a {
				require.LessOrEqual(t, a[k], b[k]*2+20, "%s: %s, the README has %s", now[0], now[j], then[j])
			}
		}
	}
}

// figures returns the numbers in a cell, durations in seconds.
func figures(cell string) []int {
	var list []int
	for word := range strings.FieldsFuncSeq(cell, func(c rune) bool { return c == ' ' || c == ',' || c == '+' || c == '|' }) {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		} else if d, err := time.ParseDuration(word); err == nil {
			list = append(list, int(d.Seconds()))
		}
	}
	return list
}
