package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/imagejobs/imagejobs-go/internal/redact"
)

// searched is a kind of text that is searched for secrets.
type searched struct {
	name, unit string
	cut        bool // it is the start of something longer
}

// redact measures the search for secrets in what a service responded.
func (l *lab) redact() (*report, error) {
	rounds, least := 15, 20*time.Millisecond
	if l.quick {
		rounds, least = 5, 5*time.Millisecond
	}
	texts := []searched{
		{"a service's error page and JSON", errorPage, false},
		{"the same, cut off", errorPage, true},
		{"four nested escapes", `%2525255c+\\\\\u0026amp;amp;amp;`, false},
		{"base64, twice", base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(randomBytes(1, 300)))), false},
	}
	sizes, counts := []int{1, 8, 64}, []int{1, 100}
	r := newReport("Search for secrets")
	r.add("The search of a text that an error or a log attribute shows, for secrets of 32 bytes that do not stand in it, by its size. "+
		"CPU time per KiB in microseconds, medians of %d rounds of at least %s each; memory is what one search allocates. "+
		"Nothing is searched when a call succeeds. The last two texts are made to cost much.", rounds, least)

	head := []string{"text", "secrets"}
	for _, size := range sizes {
		head = append(head, fmt.Sprintf("%d KiB, µs/KiB", size))
	}
	last := sizes[len(sizes)-1]
	rows := [][]string{append(head, fmt.Sprintf("%d KiB, ms", last), fmt.Sprintf("%d KiB, KiB allocated", last))}
	var plot []series
	for _, text := range texts {
		for _, count := range counts {
			row, line := []string{text.name, fmt.Sprint(count)}, series{label: fmt.Sprintf("secrets: %d", count), ours: count > 1}
			var cost, allocated float64
			for _, size := range sizes {
				var err error
				if cost, allocated, err = text.cost(size<<10, count, rounds, least); err != nil {
					return nil, err
				}
				row = append(row, fmt.Sprintf("%.1f", cost/float64(size)))
				line.x, line.y = append(line.x, float64(size)), append(line.y, cost/float64(size))
			}
			rows = append(rows, append(row, fmt.Sprintf("%.2f", cost/1e3), fmt.Sprintf("%.0f", allocated/1024)))
			if text == texts[0] {
				plot = append(plot, line)
			}
		}
	}
	r.table(rows)
	r.plots["redact"] = lines("Search of a text for secrets", "KiB of text", "µs of CPU per KiB", true, plot)

	rows = [][]string{{"secrets", "CPU µs of the first search of a call"}}
	for _, count := range counts {
		secrets := randomSecrets(count)
		cost := costs(rounds, least, func() { redact.New(secrets...).Contains("x") })
		rows = append(rows, []string{fmt.Sprint(count), fmt.Sprintf("%.1f", cost)})
	}
	r.add("What has to be set up for the first search of a call, whatever the text:")
	r.table(rows)
	return r, nil
}

// errorPage is a text without secrets.
const errorPage = "<p>The request &quot;GET /v1/images?name=a%20b&amp;limit=10&quot; was not understood.</p>\n" +
	`{"error": {"code": 400, "message": "Invalid \"imageRef\" 4bf92f3577b34da6a3ce929d0e0e4736"}}` + "\n"

// cost returns the CPU time of one search in microseconds, and the bytes that it
// allocates.
func (s *searched) cost(size, secrets, rounds int, least time.Duration) (micros, allocated float64, err error) {
	text := []byte(strings.Repeat(s.unit, size/len(s.unit)+1)[:size])
	set := redact.New(randomSecrets(secrets)...)
	if set.Body(text, s.cut) == redact.Hidden {
		return 0, 0, errors.New(s.name + ": found a secret")
	}
	search := func() { set.Body(text, s.cut) }
	return costs(rounds, least, search), allocatedBy(search), nil
}

func randomSecrets(count int) []string {
	const size = 24 // 32 in base64
	random, secrets := randomBytes(2, size*count), make([]string, count)
	for i := range secrets {
		secrets[i] = base64.RawURLEncoding.EncodeToString(random[i*size : (i+1)*size])
	}
	return secrets
}

// randomBytes returns n bytes, the same ones for a seed.
func randomBytes(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}
