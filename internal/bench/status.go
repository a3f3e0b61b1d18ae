package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	"resty.dev/v3"

	"github.com/imagejobs/imagejobs-go/internal/conformance/statuscalls"
)

// statusCall is one of the three calls: the SDK's method, and what its peers
// send and decode to do the same.
type statusCall struct {
	*statuscalls.Call

	base string
	sdk  func(context.Context) error
}

type contender struct {
	name string
	call func(context.Context) error
}

func (l *lab) statusCalls() ([]statusCall, error) {
	var calls []statusCall
	for _, c := range statuscalls.All() {
		sdk, err := c.SDK(l.plain, nil)
		if err != nil {
			return nil, err
		}
		calls = append(calls, statusCall{c, l.plain, sdk})
	}
	return calls, nil
}

func (c *statusCall) contenders() []contender {
	return []contender{
		{"this SDK", c.sdk},
		{floorName, c.floor(timeLimit)},
		{"go-retryablehttp", c.retryable()},
		{"resty v3", c.resty()},
		{"gophercloud", c.gophercloud()},
		{"net/http + encoding/json, no time limit", c.floor(0)},
	}
}

const (
	floorName = "net/http + encoding/json"
	timeLimit = 30 * time.Second
)

// transport returns an http.Transport with the SDK's settings, for all of them.
func transport() *http.Transport {
	t := cleanhttp.DefaultPooledTransport()
	t.MaxIdleConnsPerHost = 64
	return t
}

func (c *statusCall) floor(limit time.Duration) func(context.Context) error {
	return c.ByHand(c.base, &http.Client{Transport: transport(), Timeout: limit})
}

func (c *statusCall) retryable() func(context.Context) error {
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = &http.Client{Transport: transport(), Timeout: timeLimit}
	return func(ctx context.Context) error {
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, c.base+c.Path, nil)
		if err != nil {
			return err
		}
		for name, value := range c.Header {
			req.Header.Set(name, value)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := client.Do(req)
		return statuscalls.Decode(resp, err, c.Into())
	}
}

func (c *statusCall) resty() func(context.Context) error {
	client := resty.NewWithClient(&http.Client{Transport: transport(), Timeout: timeLimit})
	return func(ctx context.Context) error {
		resp, err := client.R().SetContext(ctx).SetHeaders(c.Header).SetHeader("Accept", "application/json").SetResult(c.Into()).Get(c.base + c.Path)
		if err == nil && resp.IsStatusFailure() {
			err = fmt.Errorf("status %s", resp.Status())
		}
		return err
	}
}

func (c *statusCall) gophercloud() func(context.Context) error {
	client := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: transport(), Timeout: timeLimit}}
	return func(ctx context.Context) error {
		resp, err := client.Request(ctx, http.MethodGet, c.base+c.Path, &gophercloud.RequestOpts{
			MoreHeaders: c.Header, JSONResponse: c.Into(), OkCodes: []int{http.StatusOK},
		})
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
}

// cpuTime returns the CPU time of this process, which other processes on a busy
// machine change less than the time on the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (l *lab) status() (*report, error) {
	rounds, calls := 15, "3000x"
	if l.quick {
		rounds, calls = 5, "1000x"
	}
	testing.Init()
	if err := flag.Set("test.benchtime", calls); err != nil {
		return nil, err
	}
	services, err := l.statusCalls()
	if err != nil {
		return nil, err
	}
	r := newReport("Status calls")
	r.add("One call after the other over loopback to a server in another process that responds with the documented sample. "+
		"%d rounds of %s in turn; medians. All have the SDK's settings of http.Transport and its time limit of 30 s; "+
		"the last row of each shows what that limit costs.", rounds, calls)
	rows := [][]string{{"call", "client", "CPU time, ratio", "time, ratio", "CPU µs/op", "µs/op", "B/op", "allocs/op"}}
	for _, s := range services {
		all := s.contenders()
		for _, c := range all { // open the connections
			if err := c.call(l.ctx); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", s.Name, c.name, err)
			}
		}
		nanos, ratios := make([][]float64, len(all)), make([][]float64, len(all))
		cpu, cpuRatios := make([][]float64, len(all)), make([][]float64, len(all))
		bytes, allocs := make([][]int64, len(all)), make([][]int64, len(all))
		for range rounds {
			for i, c := range all {
				var failed error
				before := cpuTime()
				found := testing.Benchmark(func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := c.call(l.ctx); err != nil {
							failed = err
							b.FailNow()
						}
					}
				})
				if failed != nil {
					return nil, fmt.Errorf("%s: %s: %w", s.Name, c.name, failed)
				}
				cpu[i] = append(cpu[i], float64((cpuTime()-before).Nanoseconds())/float64(found.N))
				nanos[i] = append(nanos[i], float64(found.T.Nanoseconds())/float64(found.N))
				bytes[i] = append(bytes[i], found.AllocedBytesPerOp())
				allocs[i] = append(allocs[i], found.AllocsPerOp())
			}
			for i := range all {
				last := len(nanos[i]) - 1
				ratios[i] = append(ratios[i], nanos[i][last]/nanos[1][last]) // of the same round
				cpuRatios[i] = append(cpuRatios[i], cpu[i][last]/cpu[1][last])
			}
		}
		var plot []bar
		for i, c := range all {
			rows = append(rows, []string{
				s.Name, c.name, fmt.Sprintf("%.2f", median(cpuRatios[i])), fmt.Sprintf("%.2f", median(ratios[i])),
				fmt.Sprintf("%.1f", median(cpu[i])/1e3), fmt.Sprintf("%.1f", median(nanos[i])/1e3),
				fmt.Sprint(median(bytes[i])), fmt.Sprint(median(allocs[i])),
			})
			plot = append(plot, bar{c.name, float64(median(allocs[i])), i == 0})
		}
		r.plots["status-"+s.Name] = bars(s.Name+": allocations per call", "", plot)
	}
	r.table(rows)
	return r, nil
}
