package main

import (
	"fmt"
	"os"
	"strconv"
)

// sources measures the memory that an upload takes by where its image comes
// from.
func (l *lab) sources() (*report, error) {
	sizes, rounds := []int64{256 << 20, 1 << 30, 4 << 30}, 3
	if l.quick {
		sizes, rounds = sizes[:1], 1
	}
	r := newReport("Sources")
	r.add("Peak resident memory of an upload over TLS by what it reads, whole processes as in the table of uploads: a path, an `io.Reader` that is read once, "+
		"and an `io.ReaderAt` that takes a millisecond for each read. Default chunk sizes: 16, 16 and 64 MiB. Medians of %s.", times(rounds, "round"))
	rows := [][]string{{"source", "chunks at once"}}
	for _, size := range sizes {
		rows[0] = append(rows[0], "peak MiB of "+sizeName(size), "MiB/s")
	}
	ways := []struct {
		name, source string
		parallel     int
	}{
		{"UploadFile", "path", 0},
		{"UploadFile", "path", 16},
		{"Upload, slow ReaderAt", "slow", 0},
		{"Upload, slow ReaderAt", "slow", 16},
		{"Upload, Reader", "reader", 0},
		{"Upload, Reader", "reader", 1},
	}
	cells := make([][]string, len(ways))
	for _, size := range sizes {
		file, err := l.image(size, true)
		if err != nil {
			return nil, err
		}
		peak, speed := make([][]float64, len(ways)), make([][]float64, len(ways))
		for range rounds {
			for i, way := range ways {
				var found saves
				u, err := l.subject(&found, "upload", "-url", l.tls, "-file", file, "-chunk", "0", "-parallel", strconv.Itoa(way.parallel), "-source", way.source)
				if err != nil {
					return nil, err
				}
				peak[i] = append(peak[i], float64(u.peak)/(1<<20))
				speed[i] = append(speed[i], float64(size)/(1<<20)/(float64(found.Nanos)/1e9))
			}
		}
		for i := range ways {
			cells[i] = append(cells[i], fmt.Sprintf("%.1f", median(peak[i])), fmt.Sprintf("%.0f", median(speed[i])))
		}
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	for i, way := range ways {
		atOnce := "default"
		if way.parallel > 0 {
			atOnce = strconv.Itoa(way.parallel)
		}
		rows = append(rows, append([]string{way.name, atOnce}, cells[i]...))
	}
	r.table(rows)
	return r, nil
}
