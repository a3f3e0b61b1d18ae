package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// uploader is one way to send an image to the server.
type uploader struct {
	name    string
	against string // the floor that its CPU time is compared with
	ours    bool
	memory  int64 // about how many bytes it takes for each byte of the image
	program string
	args    func(url, file string) []string
}

const partSize = 64 << 20

func sdk(parallel int, sum string) func(url, file string) []string {
	return subjectArgs("sdk", parallel, sum)
}

func subjectArgs(how string, parallel int, sum string) func(url, file string) []string {
	return func(url, file string) []string {
		return []string{
			"upload", "-how", how, "-url", url, "-file", file, "-parallel", strconv.Itoa(parallel), "-sum", sum,
			"-chunk", strconv.Itoa(partSize),
		}
	}
}

func peer(how, sum string) func(url, file string) []string {
	return func(url, file string) []string {
		return []string{"-how", how, "-url", url, "-file", file, "-parallel", "4", "-sum", sum, "-chunk", strconv.Itoa(partSize)}
	}
}

const (
	floorSum  = "floor: sockets and MD5, 4 streams"
	floorNone = "floor: sockets, 4 streams"
	withCurl  = "curl -F, 1 stream"
)

func (l *lab) uploaders(secure bool) []uploader {
	list := []uploader{
		{name: "this SDK, 4 chunks, MD5", against: floorSum, ours: true, program: "subject", args: sdk(4, "md5")},
		{name: floorSum, against: floorSum, program: "subject", args: subjectArgs("raw", 4, "md5")},
		{name: "this SDK, 1 chunk, MD5", against: floorSum, ours: true, program: "subject", args: sdk(1, "md5")},
		{name: "this SDK, 8 chunks, MD5", against: floorSum, ours: true, program: "subject", args: sdk(8, "md5")},
		{name: "minio-go FPutObject, 4 parts, MD5", against: floorSum, program: "peers", args: peer("minio", "md5")},
		{name: "this SDK, 4 chunks, md5-simd", against: floorSum, ours: true, program: "subject", args: sdk(4, "simd")},
		{name: "this SDK, 8 chunks, md5-simd", against: floorSum, ours: true, program: "subject", args: sdk(8, "simd")},
		{name: "this SDK, 4 chunks, no checksum", against: floorNone, ours: true, program: "subject", args: sdk(4, "none")},
		{name: "this SDK, 8 chunks, no checksum", against: floorNone, ours: true, program: "subject", args: sdk(8, "none")},
		{name: floorNone, against: floorNone, program: "subject", args: subjectArgs("raw", 4, "none")},
		{name: "minio-go FPutObject, 4 parts, no checksum", against: floorNone, program: "peers", args: peer("minio", "none")},
		{name: "transfermanager, 4 parts, no checksum", against: floorNone, program: "peers", args: peer("aws", "none")},
		{name: "transfermanager, 4 parts, CRC32", against: floorNone, program: "peers", args: peer("aws", "crc32")},
		{name: "naive Go, form in a buffer, 1 stream", against: floorNone, memory: 4, program: "subject", args: subjectArgs("naive", 1, "none")},
	}
	if _, err := exec.LookPath("curl"); err == nil {
		list = append(list, uploader{name: withCurl, against: floorNone, program: "curl", args: func(url, file string) []string {
			return []string{
				"-sSf", "--http1.1", "--cacert", l.cert, "-o", os.DevNull, "-F", `json={"application":"wordpress"}`, "-F", "file=@" + file,
				url + "/appstore/publisher/v1/machineimages",
			}
		}})
	}
	if !secure {
		list = append(list, uploader{
			name: "floor: sendfile, 4 streams", against: floorNone, program: "subject", args: subjectArgs("sendfile", 4, "none"),
		})
	}
	return list
}

// runs are the measured runs of one uploader with one image.
type runs struct{ wall, cpu, ratio, overCurl, peak []float64 }

func (l *lab) upload() (*report, error) {
	sizes := []int64{256 << 20, 1 << 30, 4 << 30}
	rounds := map[int64]int{256 << 20: 3, 1 << 30: 3, 4 << 30: 1}
	if l.quick {
		sizes, rounds = sizes[:1], map[int64]int{256 << 20: 2}
	}
	var counts []string
	for _, size := range sizes {
		counts = append(counts, fmt.Sprintf("%s of %s", times(rounds[size], "round"), sizeName(size)))
	}
	r := newReport("Uploads")
	r.add("Whole processes, from start to end, to a server in another process that drops what it receives; parts of 64 MiB; sparse images in the page cache. "+
		"Wall time, user and system time of the uploader for each GiB, its peak resident memory. The CPU ratio is to the floor of the same round that does the same work "+
		"(sockets, with an MD5 pass for those that hash); throughput is compared with curl's of the same round. Medians of %s.",
		strings.Join(counts, ", "))
	for _, scheme := range []struct{ name, url string }{{"plain", l.plain}, {"TLS", l.tls}} {
		for _, size := range sizes {
			if err := l.uploadTable(r, scheme.name, scheme.url, size, rounds[size]); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (l *lab) uploadTable(r *report, scheme, url string, size int64, rounds int) error {
	file, err := l.image(size, true)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	available, err := freeMemory()
	if err != nil {
		return err
	}
	gib := float64(size) / (1 << 30)
	list := l.uploaders(scheme == "TLS")
	found := map[string]*runs{}
	for range rounds {
		cpu, wall := map[string]float64{}, map[string]float64{}
		for _, u := range list {
			if u.memory*size > available {
				continue
			}
			took, err := l.child(u.program, u.args(url, file)...)
			if err != nil {
				return err
			}
			if found[u.name] == nil {
				found[u.name] = &runs{}
			}
			run := found[u.name]
			wall[u.name], cpu[u.name] = took.wall.Seconds(), took.cpu.Seconds()/gib
			run.wall = append(run.wall, wall[u.name])
			run.cpu = append(run.cpu, cpu[u.name])
			run.peak = append(run.peak, float64(took.peak)/(1<<20))
		}
		for _, u := range list {
			if run := found[u.name]; run != nil {
				run.ratio = append(run.ratio, cpu[u.name]/cpu[u.against])
				run.overCurl = append(run.overCurl, wall[withCurl]/wall[u.name])
			}
		}
	}
	rows := [][]string{{"uploader, " + scheme + ", " + sizeName(size), "CPU, ratio to floor", "throughput, ratio to curl", "MiB/s", "wall s", "CPU s/GiB", "peak MiB"}}
	var speed, memory []bar
	for _, u := range list {
		run := found[u.name]
		if run == nil {
			rows = append(rows, []string{u.name, "", "", "", "", "", "not run: holds the image in memory, several times"})
			continue
		}
		wall, peak := median(run.wall), median(run.peak)
		rows = append(rows, []string{
			u.name, fmt.Sprintf("%.2f", median(run.ratio)), fmt.Sprintf("%.2f", median(run.overCurl)), fmt.Sprintf("%.0f", gib*1024/wall),
			fmt.Sprintf("%.2f", wall), fmt.Sprintf("%.2f", median(run.cpu)), fmt.Sprintf("%.1f", peak),
		})
		speed = append(speed, bar{u.name, gib * 1024 / wall, u.ours})
		memory = append(memory, bar{u.name, peak, u.ours})
	}
	r.table(rows)
	if size == 1<<30 {
		name := "upload-" + strings.ToLower(scheme)
		r.plots[name+"-speed"] = bars("Upload of 1 GiB, "+scheme+": throughput", "MiB/s", speed)
		r.plots[name+"-memory"] = bars("Upload of 1 GiB, "+scheme+": peak memory", "MiB", memory)
	}
	return nil
}

// times returns a count with its noun.
func times(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func sizeName(size int64) string {
	if size >= 1<<30 {
		return fmt.Sprintf("%d GiB", size>>30)
	}
	return fmt.Sprintf("%d MiB", size>>20)
}

// saves is what subject reports about the checkpoints of an upload.
type saves struct{ Saves, SaveNanos, Nanos int64 }

// resumed is what it reports about a resumed one.
type resumed struct {
	Checkpoint               int
	RequestNanos, ChunkNanos int64
}

func (l *lab) resume() (*report, error) {
	rounds, size := 7, int64(1<<30)
	if l.quick {
		rounds = 3
	}
	r := newReport("Resume")
	const chunks = 16384
	r.add("A second call for an upload of 1 TiB in %d chunks, half of which the checkpoint has: time from its start to the head of its first request, and to that of its first chunk, "+
		"whose MD5 has to be known by then (64 MiB are hashed, one chunk on each core). A process of its own, both calls included in its memory; a sparse image that has not changed since, so that no chunk is read again; medians of %d rounds.", chunks, rounds)
	file, err := l.image(chunks*partSize, false)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	// Of a file that has just changed, the acknowledged chunks would be read again.
	time.Sleep(3 * time.Second)
	rows := [][]string{{"acknowledged", "checksums", "checkpoint", "first request ms", "first chunk ms", "peak MiB"}}
	for _, scattered := range []bool{false, true} {
		for _, sum := range []bool{false, true} {
			var request, chunk, peak []float64
			var bytes int
			for range rounds {
				var found resumed
				u, err := l.subject(&found, "resume", "-url", l.plain+"/resume", "-file", file, "-chunks", strconv.Itoa(chunks),
					fmt.Sprintf("-scattered=%t", scattered), fmt.Sprintf("-sum=%t", sum))
				if err != nil {
					return nil, err
				}
				request = append(request, float64(found.RequestNanos)/1e6)
				chunk = append(chunk, float64(found.ChunkNanos)/1e6)
				peak = append(peak, float64(u.peak)/(1<<20))
				bytes = found.Checkpoint
			}
			what := "the first half, 1 range"
			if scattered {
				what = fmt.Sprintf("every other one, %d ranges", chunks/2)
			}
			rows = append(rows, []string{
				what, map[bool]string{true: "MD5", false: "none"}[sum], fmt.Sprintf("%.1f KiB", float64(bytes)/1024),
				fmt.Sprintf("%.1f", median(request)), fmt.Sprintf("%.1f", median(chunk)), fmt.Sprintf("%.1f", median(peak)),
			})
		}
	}
	r.table(rows)

	r.add("The cost of the checkpoints of an upload: `FileCheckpoints` in a temporary folder, each save a synced file and a synced folder.")
	whole, err := l.image(size, true)
	if err != nil {
		return nil, err
	}
	defer os.Remove(whole)
	rows = [][]string{{"upload", "saves", "saves per GiB", "ms per save", "share of the wall time"}}
	for _, scheme := range []struct{ name, url string }{{"plain", l.plain}, {"TLS", l.tls}} {
		var each, share []float64
		var count int64
		for range min(rounds, 5) {
			dir := filepath.Join(l.dir, "checkpoints")
			args := append(sdk(4, "md5")(scheme.url, whole), "-checkpoints", dir)
			var found saves
			if _, err := l.subject(&found, args...); err != nil {
				return nil, err
			}
			count = found.Saves
			each = append(each, float64(found.SaveNanos)/float64(found.Saves)/1e6)
			share = append(share, 100*float64(found.SaveNanos)/float64(found.Nanos))
		}
		rows = append(rows, []string{
			sizeName(size) + ", " + scheme.name, fmt.Sprint(count), fmt.Sprintf("%.1f", float64(count)/(float64(size)/(1<<30))),
			fmt.Sprintf("%.2f", median(each)), fmt.Sprintf("%.2f %%", median(share)),
		})
	}
	r.table(rows)
	return r, nil
}
