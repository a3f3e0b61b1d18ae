package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// link is a proxy that turns loopback into a long fat network: each connection
// has its own delay and its own limit, as a TCP stream over a long distance.
type link struct {
	listener net.Listener
	target   string
	delay    time.Duration // one way
	rate     float64       // bytes a second, each connection and direction; 0 for no limit
	shared   bool          // all connections have that rate together, as over a slow line
	carried  atomic.Int64  // bytes to the target
	end      sync.WaitGroup

	mu   sync.Mutex
	next time.Time // when a shared line is free
}

// turn returns when n more bytes are through, where next is for one connection.
func (p *link) turn(next *time.Time, n int) time.Time {
	if p.shared {
		p.mu.Lock()
		defer p.mu.Unlock()
		next = &p.next
	}
	if now := time.Now(); next.Before(now) {
		*next = now
	}
	if p.rate > 0 {
		*next = next.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	}
	return *next
}

func newLink(target string, delay time.Duration, rate float64) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &link{listener: listener, target: target, delay: delay, rate: rate}
	p.end.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.end.Go(func() { p.join(c) })
		}
	})
	return p, nil
}

func (p *link) url() string { return "http://" + p.listener.Addr().String() }

func (p *link) close() {
	_ = p.listener.Close()
	p.end.Wait()
}

func (p *link) join(near net.Conn) {
	defer near.Close()
	_ = near.(*net.TCPConn).SetReadBuffer(64 << 10) // it holds what is under way, and no more
	time.Sleep(2 * p.delay)                         // the handshake
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { p.carry(far, near, &p.carried) })
	both.Go(func() { p.carry(near, far, new(atomic.Int64)) })
	both.Wait()
}

// packet has bytes under way.
type packet struct {
	data []byte
	due  time.Time
}

// carry delivers each byte after the delay and not above the rate. The bytes
// under way are bounded by what the link holds.
func (p *link) carry(to, from net.Conn, carried *atomic.Int64) {
	const size = 64 << 10
	holds := 4096
	if p.rate > 0 {
		least := 4
		if p.shared { // or it would hold seconds of a slow line
			least = 1
		}
		holds = max(int(p.rate*2*p.delay.Seconds())/size, least)
	}
	way := make(chan packet, holds)
	free := sync.Pool{New: func() any { return make([]byte, size) }}
	go func() {
		defer close(way)
		next := time.Now()
		for {
			buf := free.Get().([]byte)
			n, err := from.Read(buf)
			if n > 0 {
				way <- packet{buf[:n], p.turn(&next, n).Add(p.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for b := range way {
		if wait := time.Until(b.due); wait > 0 {
			time.Sleep(wait)
		}
		if _, err := to.Write(b.data); err != nil {
			_ = from.Close()
			for range way { // let the reader end
			}
			return
		}
		carried.Add(int64(len(b.data)))
		free.Put(b.data[:size])
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (l *lab) lfn() (*report, error) {
	const delay, rate = 25 * time.Millisecond, 8 << 20
	rounds, perStream := 3, int64(4)
	if l.quick {
		rounds, perStream = 1, 2
	}
	long, err := newLink(strings.TrimPrefix(l.plain, "http://"), delay, rate)
	if err != nil {
		return nil, err
	}
	defer long.close()
	r := newReport("Long fat networks")
	r.add("Through a proxy with a round trip per connection of %v and %d MiB/s each way, checksums on; medians of %d rounds.", 2*delay, rate>>20, rounds)

	streams, chunks := []int{1, 2, 4, 8, 16}, []int64{1 << 20, 4 << 20, 16 << 20, 64 << 20}
	if l.quick {
		streams, chunks = []int{1, 4, 8}, []int64{4 << 20, 64 << 20}
	}
	speeds := map[int][]float64{}
	scaling := map[int][]float64{}
	const chunk = 16 << 20
	for range rounds {
		one := 0.0
		for _, n := range streams {
			speed, err := l.throughput(long.url(), int64(n)*perStream*chunk, n, chunk)
			if err != nil {
				return nil, err
			}
			if n == 1 {
				one = speed
			}
			speeds[n] = append(speeds[n], speed)
			scaling[n] = append(scaling[n], speed/one)
		}
	}
	with4, curl := []float64{}, []float64{}
	if _, err := exec.LookPath("curl"); err == nil {
		for range (rounds + 1) / 2 {
			const size = 4 * chunk
			file, err := l.image(size, true)
			if err != nil {
				return nil, err
			}
			u, err := l.child("curl", "-sSf", "-o", os.DevNull, "-F", "file=@"+file, long.url()+"/appstore/publisher/v1/machineimages")
			if err != nil {
				return nil, err
			}
			speed, err := l.throughput(long.url(), size, 4, chunk)
			if err != nil {
				return nil, err
			}
			curl = append(curl, size/(1<<20)/u.wall.Seconds())
			with4 = append(with4, speed/curl[len(curl)-1])
		}
	}
	rows := [][]string{{"parallel chunks of 16 MiB", "throughput, ratio to 1", "of N", "MiB/s", "of the links' N × 8 MiB/s"}}
	ideal, real := series{label: "N times one stream"}, series{label: "this SDK", ours: true}
	for _, n := range streams {
		ratio := median(scaling[n])
		rows = append(rows, []string{
			strconv.Itoa(n), fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%.2f", ratio/float64(n)), fmt.Sprintf("%.1f", median(speeds[n])),
			fmt.Sprintf("%.2f", median(speeds[n])*(1<<20)/(rate*float64(n))),
		})
		ideal.x, ideal.y = append(ideal.x, float64(n)), append(ideal.y, float64(n)*median(speeds[1]))
		real.x, real.y = append(real.x, float64(n)), append(real.y, median(speeds[n]))
	}
	r.table(rows)
	if len(curl) > 0 {
		r.add("`curl -F`, one stream, has %.1f MiB/s there; 4 chunks have %.2f times that.", median(curl), median(with4))
	}
	r.plots["lfn"] = lines("Throughput over a long fat network", "parallel chunks", "MiB/s", true, []series{ideal, real})

	far, near := map[int64][]float64{}, map[int64][]float64{}
	for range (rounds + 1) / 2 {
		for _, chunk := range chunks {
			speed, err := l.throughput(long.url(), 256<<20, 4, chunk)
			if err != nil {
				return nil, err
			}
			far[chunk] = append(far[chunk], speed)
			if speed, err = l.throughput(l.plain, 1<<30, 4, chunk); err != nil {
				return nil, err
			}
			near[chunk] = append(near[chunk], speed)
		}
	}
	r.add("The cost of the chunk size with 4 chunks at once: each chunk waits for its response and its checksum. The default is 16 MiB for images of up to 1 GiB, and 64 MiB from 4 GiB on.")
	rows = [][]string{{"chunk size", "long fat network, ratio to 64 MiB", "MiB/s", "loopback, ratio to 64 MiB", "MiB/s"}}
	last := chunks[len(chunks)-1]
	for _, chunk := range chunks {
		rows = append(rows, []string{
			sizeName(chunk), fmt.Sprintf("%.2f", median(far[chunk])/median(far[last])), fmt.Sprintf("%.1f", median(far[chunk])),
			fmt.Sprintf("%.2f", median(near[chunk])/median(near[last])), fmt.Sprintf("%.0f", median(near[chunk])),
		})
	}
	r.table(rows)
	return r, l.defaults(r, long.url(), rounds)
}

// defaults compares uploads that choose how many chunks they send at once with
// some that have 4 from the start: what the choice costs where more are better.
func (l *lab) defaults(r *report, long string, rounds int) error {
	rows := [][]string{{"line", "image", "by default, ratio to 4 from the start", "MiB/s"}}
	for _, line := range []struct {
		name, url string
		sizes     []int64
	}{
		{"long fat network", long, []int64{256 << 20, 1 << 30}},
		{"loopback", l.plain, []int64{256 << 20, 1 << 30, 4 << 30}},
		{"loopback, TLS", l.tls, []int64{256 << 20, 1 << 30, 4 << 30}},
	} {
		for _, size := range line.sizes {
			if l.quick && size > 256<<20 {
				continue
			}
			times := max(rounds, int(int64(rounds)*(4<<30)/size/4)) // short runs vary more
			if line.url == long {
				times = (rounds + 1) / 2
			}
			var ratio, speeds []float64
			for range times {
				fixed, err := l.throughput(line.url, size, 4, 0)
				if err != nil {
					return err
				}
				chosen, err := l.throughput(line.url, size, 0, 0)
				if err != nil {
					return err
				}
				ratio, speeds = append(ratio, chosen/fixed), append(speeds, chosen)
			}
			rows = append(rows, []string{line.name, sizeName(size), fmt.Sprintf("%.3f", median(ratio)), fmt.Sprintf("%.0f", median(speeds))})
		}
	}
	r.add("The default, which begins with one chunk and finds out how many the line is worth, beside 4 from the start, in turns; default chunk sizes.")
	r.table(rows)
	return nil
}

// throughput uploads an image of that size and returns the MiB per second.
func (l *lab) throughput(url string, size int64, parallel int, chunk int64) (float64, error) {
	file, err := l.image(size, true)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	var found saves
	_, err = l.subject(&found, "upload", "-how", "sdk", "-url", url, "-file", file, "-parallel", strconv.Itoa(parallel), "-chunk", strconv.FormatInt(chunk, 10))
	return float64(size) / (1 << 20) / (float64(found.Nanos) / 1e9), err
}
