package oraclemarkettest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// The limits of a page.
const (
	defaultLimit = 30
	maxLimit     = 100
)

// list returns a page of the upload requests that match.
func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	window, err := parseWindow(query)
	if err != nil {
		return err
	}
	wanted, err := parseStatuses(query.Get("machineimagestatus"))
	if err != nil {
		return err
	}
	compare, err := s.parseOrder(query.Get("orderby"), query.Get("sortorder"))
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var matches []*upload
	for _, u := range s.inOrder() {
		if !s.listed(u) || !u.matches(query.Get("keyword")) {
			continue
		}
		if len(wanted) > 0 && !slices.Contains(wanted, s.stateOf(u).status) {
			continue
		}
		matches = append(matches, u)
	}
	// A stable sort by id first: equal items keep their place on every page.
	slices.SortStableFunc(matches, compare)
	s.writePage(w, r, window, matches)
	return nil
}

// matches reports whether the keyword is part of the name, the version, the
// operating system or the file name.
func (u *upload) matches(keyword string) bool {
	keyword = strings.ToLower(keyword)
	for _, text := range []string{u.spec.Application, u.spec.Version, u.spec.OperatingSystem, u.fileName} {
		if strings.Contains(strings.ToLower(text), keyword) {
			return true
		}
	}
	return false
}

func parseStatuses(text string) (wanted []Status, err error) {
	if text == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		status, ok := parseStatus(name)
		if !ok {
			return nil, badRequest("machineimagestatus %q is unknown", name)
		}
		wanted = append(wanted, status)
	}
	return wanted, nil
}

// parseOrder returns how to sort, by id without an orderby. The returned
// function needs s.mu.
func (s *Server) parseOrder(orderBy, sortOrder string) (func(a, b *upload) int, error) {
	var compare func(a, b *upload) int
	switch strings.ToUpper(orderBy) {
	case "":
		compare = func(a, b *upload) int { return cmp.Compare(a.id, b.id) }
	case "NAME":
		compare = func(a, b *upload) int { return cmp.Compare(a.spec.Application, b.spec.Application) }
	case "LASTUPDATEDATE":
		compare = func(a, b *upload) int { return s.modified(a).Compare(s.modified(b)) }
	default:
		return nil, badRequest("orderby %q is neither NAME nor LASTUPDATEDATE", orderBy)
	}
	switch strings.ToUpper(sortOrder) {
	case "", "ASC":
		return compare, nil
	case "DESC":
		return func(a, b *upload) int { return compare(b, a) }, nil
	}
	return nil, badRequest("sortorder %q is neither ASC nor DESC", sortOrder)
}

// window is the requested part of a list.
type window struct{ offset, limit int }

func parseWindow(query url.Values) (window, error) {
	page := window{limit: defaultLimit}
	var err error
	if text := query.Get("limit"); text != "" {
		if page.limit, err = strconv.Atoi(text); err != nil || page.limit < 1 || page.limit > maxLimit {
			return page, badRequest("limit %q is not a number from 1 to %d", text, maxLimit)
		}
	}
	if text := query.Get("offset"); text != "" {
		if page.offset, err = strconv.Atoi(text); err != nil || page.offset < 0 {
			return page, badRequest("offset %q is not a number from 0", text)
		}
	}
	return page, nil
}

// writePage writes the requested part of a list. The caller holds s.mu.
func (s *Server) writePage(w http.ResponseWriter, r *http.Request, page window, all []*upload) {
	start := min(page.offset, len(all))
	end := min(start+page.limit, len(all))
	list := collection{
		Items:        []any{},
		HasMore:      end < len(all),
		Count:        end - start,
		TotalResults: len(all),
	}
	for _, u := range all[start:end] {
		if s.config.dialect.BareItems {
			list.Items = append(list.Items, s.record(u))
		} else {
			list.Items = append(list.Items, wrappedMachineImage{s.record(u)})
		}
	}
	canonical := "http://" + r.Host + r.URL.EscapedPath()
	self := canonical
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	list.Links = []link{{"CANONICAL", canonical}, {"SELF", self}}
	if list.HasMore {
		query := r.URL.Query()
		query.Del("offset")
		query.Del("limit")
		next := fmt.Sprintf("%s?offset=%d&limit=%d", canonical, end, page.limit)
		if len(query) > 0 {
			next += "&" + query.Encode()
		}
		list.Links = append(list.Links, link{"NEXT", next})
	}
	emulator.WriteJSON(w, http.StatusOK, list)
}
