package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"time"

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
	n := flags.Int("n", 1, "waiters")
	seconds := flags.Int("seconds", 30, "how long to watch them")
	return func(ctx context.Context) (any, error) {
		client, err := oraclemarket.New("partner@example.com", oraclemarket.StaticToken("token"), oraclemarket.WithBaseURL(*url))
		if err != nil {
			return nil, err
		}
		if _, err := client.MachineImages.Get(ctx, 1); err != nil { // the cost of the first call
			return nil, err
		}
		heapBefore, stackBefore := memory(true)
		before, goroutines := heapBefore+stackBefore, runtime.NumGoroutine()
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*seconds)*time.Second)
		defer cancel()
		var all sync.WaitGroup
		failed := make(chan error, *n)
		for i := range *n {
			all.Go(func() {
				if _, err := client.MachineImages.Wait(ctx, int64(i+1)); !errors.Is(err, context.DeadlineExceeded) {
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
