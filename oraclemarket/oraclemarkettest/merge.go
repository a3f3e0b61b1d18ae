package oraclemarkettest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// merge joins the chunks and starts the job. A repeated merge is acknowledged
// again.
func (s *Server) merge(w http.ResponseWriter, r *http.Request) error {
	action, err := readAction(r)
	if err != nil {
		return err
	}
	if action != "upload" {
		return badRequest("action %q is not upload", action)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(r)
	if err != nil {
		return err
	}
	switch {
	case !u.deleted.IsZero():
		return badRequest("upload request %d is deleted", u.id)
	case u.announced == 0:
		return badRequest("upload request %d is not a chunked one", u.id)
	case u.preset == nil && u.started.IsZero():
		if u.order, err = assemble(u.chunks, u.announced, s.config.firstChunk); err != nil {
			return err
		}
		u.started = s.core.Clock().Now()
		u.touched = u.started
	}
	acknowledge(w, u.id, "OK")
	return nil
}

// assemble returns the chunks in order, if they are as many as announced and
// numbered without a gap from 0 or from 1, or from first if that is not -1. A
// chunk without a number can only be the first.
func assemble(chunks map[int]*blob, announced, first int) ([]*blob, error) {
	if len(chunks) != announced {
		return nil, badRequest("%d chunks were announced in X-Number-Of-Chunks, but %d received; the numbers are %s",
			announced, len(chunks), ranges(chunks))
	}
	bases := []int{0, 1}
	if first >= 0 {
		bases = []int{first}
	}
	for _, base := range bases {
		order := make([]*blob, 0, announced)
		for i := range announced {
			b := chunks[base+i]
			if b == nil && i == 0 {
				b = chunks[unnumbered]
			}
			if b == nil {
				break
			}
			order = append(order, b)
		}
		if len(order) == announced {
			return order, nil
		}
	}
	return nil, badRequest("the chunk numbers are wrong: they are %s, and should count %d from %s", ranges(chunks), announced,
		strings.ReplaceAll(strings.Trim(fmt.Sprint(bases), "[]"), " ", " or from "))
}

// ranges prints chunk numbers like 1-3,5.
func ranges(chunks map[int]*blob) string {
	numbers := make([]int, 0, len(chunks))
	for number := range chunks {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var text []string
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		switch {
		case numbers[i] == unnumbered: // has no number
			text = append(text, "(first)")
			end = i
		case i == end:
			text = append(text, strconv.Itoa(numbers[i]))
		default:
			text = append(text, fmt.Sprintf("%d-%d", numbers[i], numbers[end]))
		}
		i = end + 1
	}
	if text == nil {
		return "none"
	}
	return strings.Join(text, ",")
}

// readAction reads the form of the merge call.
func readAction(r *http.Request) (action string, err error) {
	err = emulator.ReadForm(r, func(part emulator.FormPart) error {
		if part.Name != "action" {
			return nil
		}
		text, err := readField(part)
		action = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		return "", formError(err)
	}
	return action, nil
}
