package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// waiters is what subject reports about many waiters.
type waiters struct {
	Goroutines                   int
	Bytes, StackBytes, PeakBytes int64
}

// sinkStats is what the server saw of them.
type sinkStats struct {
	Connections int
	At          []float64
}

func (l *lab) wait() (*report, error) {
	counts, seconds := []int{1, 100, 10000}, 60
	if l.quick {
		counts, seconds = []int{1, 10000}, 16
	}
	window := min(15, seconds/2) // at the end
	r := newReport("Waiting at scale")
	r.add("A client waits for jobs that do not end: with that many `MachineImages.Wait` calls begun at once, or with one `WaitAll`. The intervals are the defaults (1 s growing to 15 s), and each is watched for %d s. "+
		"Of the jobs that are listed 100 change between polls, or all if they are fewer. "+
		"Bytes are heap and stacks above those before, after a collection while the client waits; the peak includes garbage and the first moment, in which each `Wait` polls and each `WaitAll` lists all. "+
		"With few waiters the connections show, each with two goroutines and two buffers of net/http.", seconds)
	rows := [][]string{{"jobs", "call", "bytes per job", "of these, stack", "peak bytes per job", "goroutines", "connections opened", fmt.Sprintf("requests/s, mean of the last %d s", window), "most in 100 ms of these"}}
	var rates []series
	for _, call := range []string{"MachineImages.Wait", "MachineImages.WaitAll", "Jobs.WaitAll"} {
		rate := series{label: call, ours: call != "MachineImages.Wait"}
		for _, n := range counts {
			if err := l.sinkStats(&sinkStats{}); err != nil { // resets it
				return nil, err
			}
			var found waiters
			if _, err := l.subject(&found, "wait", "-call", call, "-url", fmt.Sprintf("%s/wait/%d", l.plain, n), "-n", strconv.Itoa(n), "-seconds", strconv.Itoa(seconds)); err != nil {
				return nil, err
			}
			var seen sinkStats
			if err := l.sinkStats(&seen); err != nil {
				return nil, err
			}
			slices.Sort(seen.At)
			late := seen.At[slices.IndexFunc(seen.At, func(at float64) bool { return at >= float64(seconds-window) || at == seen.At[len(seen.At)-1] }):]
			most := 0
			for i := range late {
				most = max(most, countUntil(late[i:], late[i]+0.1))
			}
			perSecond := float64(len(late)) / float64(window)
			rate.x, rate.y = append(rate.x, float64(n)), append(rate.y, perSecond)
			rows = append(rows, []string{
				strconv.Itoa(n), call, fmt.Sprint(found.Bytes / int64(n)), fmt.Sprint(found.StackBytes / int64(n)), fmt.Sprint(found.PeakBytes / int64(n)),
				fmt.Sprint(found.Goroutines),
				fmt.Sprint(seen.Connections - 1), // one is this process's
				fmt.Sprintf("%.2f", perSecond), strconv.Itoa(most),
			})
			if call == "MachineImages.Wait" && n == counts[len(counts)-1] {
				r.plots["wait"] = histogram(n, seconds, seen.At)
			}
		}
		rates = append(rates, rate)
	}
	r.plots["waitall"] = lines("requests a second for that many jobs", "jobs", "requests a second", true, rates)
	r.table(rows)
	r.add("![requests a second of many waiters](wait.svg)")
	r.add("![requests a second beside one call for all](waitall.svg)")
	return r, nil
}

func countUntil(sorted []float64, end float64) int {
	n, _ := slices.BinarySearch(sorted, end)
	return n
}

// histogram draws the requests of each half second, beside those there would be
// without jitter.
func histogram(n, seconds int, at []float64) string {
	const width = 0.5
	bins := int(float64(seconds) / width)
	count := func(at []float64, label string, ours bool) series {
		s := series{label: label, x: make([]float64, bins), y: make([]float64, bins), ours: ours}
		for i := range bins {
			s.x[i] = float64(i) * width
		}
		for _, t := range at {
			if i := int(t / width); i < bins {
				s.y[i]++
			}
		}
		return s
	}
	var herd []float64
	for t, interval := 0.0, 1.0; t < float64(seconds); t, interval = t+interval, min(interval*1.5, 15) {
		for range n {
			herd = append(herd, t)
		}
	}
	return lines(fmt.Sprintf("%d waiters: requests in each half second", n), "seconds", "requests", false, []series{
		count(herd, "without jitter", false), count(at, "as sent", true),
	})
}

func (l *lab) sinkStats(into *sinkStats) error {
	req, err := http.NewRequestWithContext(l.ctx, http.MethodGet, l.plain+"/stats", http.NoBody)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
