package oraclemarkettest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// delete removes an image from all data centers, or from those that the body
// names. A repeated delete is acknowledged again.
func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	names, err := readDataCenters(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.find(r)
	if err != nil {
		return err
	}
	now := s.core.Clock().Now()
	from := strings.Join(names, ", ")
	if names == nil {
		from = "all data centers"
	}
	left := 0
	for i := range u.sites {
		at := &u.sites[i]
		if at.deleted.IsZero() && (names == nil || slices.ContainsFunc(names, at.is)) && u.outcome != CannotBeDeleted {
			at.deleted = now
		}
		if at.deleted.IsZero() {
			left++
		}
	}
	if u.deleted.IsZero() && (names == nil || left == 0) {
		u.deleted = now
		if u.outcome != CannotBeDeleted {
			s.store.remove(u.blobs()...)
		}
	}
	u.touched = now
	acknowledge(w, u.id, fmt.Sprintf("%d was deleted successfully from %s.", u.id, from))
	return nil
}

func (dc *DataCenter) is(name string) bool { return strings.EqualFold(dc.Name, name) }

// readDataCenters reads the body of the delete call; nil means all data
// centers. A body that names none is refused, so that an empty list does not
// delete everything.
func readDataCenters(r *http.Request) (names []string, err error) {
	there, err := readJSON(r, map[string]any{"datacenters": &names})
	if err != nil || !there {
		return nil, err
	}
	if len(names) == 0 {
		return nil, badRequest("the body has no datacenters")
	}
	return names, nil
}
