package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// interrupted is what subject reports about an upload that was interrupted.
type interrupted struct{ Acknowledged int64 }

// slowLine is a line that is interrupted, with an image.
type slowLine struct {
	mibs, size int64 // MiB a second, bytes
	file       string
	lost, sent [][]float64 // MiB, by way and moment
}

// chunkWays are the concurrencies that are compared: the default, which fits the
// line, and that many from the start.
var chunkWays = []int{0, 4}

// interrupt measures what an interruption loses: the bytes that the line has
// carried of chunks that were not acknowledged yet, which are sent again.
func (l *lab) interrupt() (*report, error) {
	moments, rates := 10, []int64{1, 4, 100}
	if l.quick {
		moments, rates = 4, rates[2:]
	}
	r := newReport("Interruptions")
	r.add("Uploads without checksums, with the default chunk size (16 MiB), by default and with 4 chunks at once from the start, over one line that all connections share, with a round trip of %v. "+
		"They are interrupted at a random moment: what the line had carried by then of chunks that were not acknowledged, and is sent again. Means and maxima of %d moments, one in each part of the upload.", 2*interruptDelay, moments)
	var slow, fast []*slowLine
	for _, mibs := range rates {
		for _, size := range []int64{256 << 20, 1 << 30} {
			file, err := l.image(size, false)
			if err != nil {
				return nil, err
			}
			line := &slowLine{mibs: mibs, size: size, file: file, lost: make([][]float64, len(chunkWays)), sent: make([][]float64, len(chunkWays))}
			if mibs < 100 {
				slow = append(slow, line)
			} else {
				fast = append(fast, line)
			}
		}
	}
	// The slow ones take hours one after the other, and little of the machine.
	if err := l.interruptAll(slow, moments, 1<<10); err != nil {
		return nil, err
	}
	if err := l.interruptAll(fast, moments, 1); err != nil {
		return nil, err
	}
	rows := [][]string{{"line", "image", "chunks at once", "sent again MiB", "at most", "seconds of the line", "at most", "of what was sent"}}
	for _, line := range slices.Concat(slow, fast) {
		for i, name := range []string{"by default", "4 from the start"} {
			lost, rate := line.lost[i], float64(line.mibs)
			rows = append(rows, []string{
				fmt.Sprintf("%d MiB/s", line.mibs), sizeName(line.size), name, fmt.Sprintf("%.1f", mean(lost)), fmt.Sprintf("%.1f", slices.Max(lost)),
				fmt.Sprintf("%.1f", mean(lost)/rate), fmt.Sprintf("%.1f", slices.Max(lost)/rate), fmt.Sprintf("%.0f %%", 100*mean(lost)/mean(line.sent[i])),
			})
		}
		if err := os.Remove(line.file); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	r.table(rows)
	return r, nil
}

const interruptDelay = 10 * time.Millisecond

func (l *lab) interruptAll(lines []*slowLine, moments, atOnce int) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	places := make(chan struct{}, atOnce)
	for _, line := range lines {
		for i := range moments {
			whole := float64(line.size) / float64(line.mibs<<20)
			after := time.Duration((float64(i) + rand.Float64()) / float64(moments) * whole * float64(time.Second)) // the same for both
			for way, parallel := range chunkWays {
				places <- struct{}{}
				time.Sleep(100 * time.Millisecond) // they do not all begin together
				all.Go(func() {
					defer func() { <-places }()
					lost, sent, err := l.interruptOnce(line, parallel, after)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed = err
					}
					line.lost[way], line.sent[way] = append(line.lost[way], lost/(1<<20)), append(line.sent[way], sent/(1<<20))
				})
			}
		}
	}
	all.Wait()
	return failed
}

func (l *lab) interruptOnce(line *slowLine, parallel int, after time.Duration) (lost, sent float64, err error) {
	p, err := newLink(strings.TrimPrefix(l.plain, "http://"), interruptDelay, float64(line.mibs<<20))
	if err != nil {
		return 0, 0, err
	}
	p.shared = true
	defer p.close()
	var found interrupted
	_, err = l.subject(&found, "upload", "-url", p.url(), "-file", line.file, "-parallel", strconv.Itoa(parallel), "-chunk", "0", "-sum", "none", "-for", after.String())
	sent = float64(p.carried.Load())
	return max(sent-float64(found.Acknowledged), 0), sent, err
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}
