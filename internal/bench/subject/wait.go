package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/imagejobs/imagejobs-go/imagereplicator"
	"github.com/imagejobs/imagejobs-go/oraclemarket"
)

// waiters is the cost of n waiters together.
type waiters struct {
	Goroutines int   // more than before
	Bytes      int64 // heap and stacks, above those before
	StackBytes int64 // of these, the stacks
	PeakBytes  int64 // the most seen, garbage included
}

func wait(flags *flag.FlagSet) func(context.Context) (any, error) {
	url := flags.String("url", "", "the server")
	n := flags.Int("n", 1, "jobs to wait for")
	call := flags.String("call", "MachineImages.Wait", "what waits: MachineImages.Wait, once for each job, or MachineImages.WaitAll or Jobs.WaitAll, once for all")
	seconds := flags.Int("seconds", 30, "how long to watch them")
	return func(ctx context.Context) (any, error) {
		waits, first, err := waitsFor(*call, *url, *n)
		if err != nil {
			return nil, err
		}
		if err := first(ctx); err != nil { // the cost of the first call
			return nil, err
		}
		heapBefore, stackBefore := memory(true)
		before, goroutines := heapBefore+stackBefore, runtime.NumGoroutine()
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*seconds)*time.Second)
		defer cancel()
		var all sync.WaitGroup
		failed := make(chan error, len(waits))
		for i, wait := range waits {
			all.Go(func() {
				if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
					failed <- fmt.Errorf("waiter %d: %w", i, err)
				}
			})
		}
		found := &waiters{}
		for ctx.Err() == nil {
			heap, stack := memory(false)
			found.PeakBytes = max(found.PeakBytes, heap+stack-before)
			found.Goroutines = runtime.NumGoroutine() - goroutines
			if deadline, _ := ctx.Deadline(); time.Until(deadline) < 8*time.Second {
				heap, stack = memory(true)
				found.Bytes, found.StackBytes = heap+stack-before, stack-stackBefore
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		all.Wait()
		select {
		case err := <-failed:
			return nil, err
		default:
			return found, nil
		}
	}
}

// waitsFor returns the calls that wait for n jobs together, to be made at once,
// and one call of the same client that is over at once.
func waitsFor(call, url string, n int) (waits []func(context.Context) error, first func(context.Context) error, err error) {
	if call == "Jobs.WaitAll" {
		client, err := imagereplicator.New(url, imagereplicator.StaticToken("token"), imagereplicator.WithInsecureHTTP())
		if err != nil {
			return nil, nil, err
		}
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("33911588-c299-4369-a240-%012d", i+1)
		}
		wait := func(ctx context.Context) error {
			_, err := client.Jobs.WaitAll(ctx, ids)
			return err
		}
		return []func(context.Context) error{wait}, func(ctx context.Context) error {
			_, err := client.Jobs.List(ctx)
			return err
		}, nil
	}
	client, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(url))
	if err != nil {
		return nil, nil, err
	}
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	switch call {
	case "MachineImages.Wait":
		for _, id := range ids {
			waits = append(waits, func(ctx context.Context) error {
				_, err := client.MachineImages.Wait(ctx, id)
				return err
			})
		}
	case "MachineImages.WaitAll":
		waits = append(waits, func(ctx context.Context) error {
			_, err := client.MachineImages.WaitAll(ctx, ids)
			return err
		})
	default:
		return nil, nil, fmt.Errorf("-call: %q is none of MachineImages.Wait, MachineImages.WaitAll, Jobs.WaitAll", call)
	}
	return waits, func(ctx context.Context) error {
		_, err := client.MachineImages.Get(ctx, 1)
		return err
	}, nil
}

// memory returns the bytes of heap and stacks, after a collection if asked.
func memory(collect bool) (heap, stack int64) {
	if collect {
		runtime.GC()
		runtime.GC() // the second one shrinks stacks
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
