package oraclemarkettest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// Storage images have no records of their own: they are what Completed upload
// requests have left in data centers.

// storageList returns a page of the images in the data centers that the query
// names, by default the first one.
func (s *Server) storageList(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	window, err := parseWindow(query)
	if err != nil {
		return err
	}
	var dataCenters []string
	for name := range strings.SplitSeq(strings.Join(query["datacenter"], ","), ",") {
		if name = strings.TrimSpace(name); name != "" {
			dataCenters = append(dataCenters, name)
		}
	}
	if dataCenters == nil && len(s.config.dataCenters) > 0 {
		dataCenters = []string{s.config.dataCenters[0].Name}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var matches []*upload
	for _, u := range s.inOrder() {
		if !s.listed(u) || !u.matches(query.Get("keyword")) || s.stored(u.imagePath()) != u {
			continue
		}
		there := slices.ContainsFunc(u.sites, func(at site) bool {
			return slices.ContainsFunc(dataCenters, at.is) && s.available(u, &at)
		})
		if there {
			matches = append(matches, u)
		}
	}
	s.writePage(w, r, window, matches)
	return nil
}

// stored returns the upload request whose image has a path: the newest, as it
// has overwritten the others. The caller holds s.mu.
func (s *Server) stored(path string) (newest *upload) {
	for _, u := range s.uploads {
		if u.imagePath() != path || newest != nil && u.id < newest.id {
			continue
		}
		if status := s.stateOf(u).status; status == Completed || status == DeletionFailed {
			newest = u
		}
	}
	return newest
}

// storageGet returns which data centers have an image.
func (s *Server) storageGet(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.findStored(r)
	if err != nil {
		return err
	}
	image := storageImage{
		FileName:        u.fileName,
		Version:         u.spec.Version,
		OperatingSystem: u.spec.OperatingSystem,
		Application:     u.spec.Application,
		Path:            u.imagePath(),
		Statuses:        []storageImageStatus{},
	}
	for i := range u.sites {
		at := &u.sites[i]
		status := storageImageStatus{DataCenterName: at.Name, Region: at.Region}
		// As in the sample: an image that is there has a size and a date, one
		// that is not has the other member.
		if s.available(u, at) {
			status.IsAvailable = true
			status.Size = strconv.FormatInt(u.size(), 10)
			status.LastModifiedDate = jsonDate(s.siteState(u, at).since)
		} else {
			status.Replica = &at.Replica
		}
		image.Statuses = append(image.Statuses, status)
	}
	emulator.WriteJSON(w, http.StatusOK, image)
	return nil
}

// findStored returns the upload request whose image the path names. The caller
// holds s.mu.
func (s *Server) findStored(r *http.Request) (*upload, error) {
	path := r.PathValue("path")
	u := s.stored(path)
	if u == nil {
		return nil, fail(http.StatusNotFound, "there is no image %s", path)
	}
	return u, nil
}

// storageCopy starts copying an image to other data centers. The copies appear
// in the upload request, whose id is in the response.
func (s *Server) storageCopy(w http.ResponseWriter, r *http.Request) error {
	var source string
	var copyTo, overwrite []string
	there, err := readJSON(r, map[string]any{
		"sourceDataCenter": &source, "copyToDataCenters": &copyTo, "overwriteDataCenters": &overwrite,
	})
	if err != nil {
		return err
	}
	if !there {
		return badRequest("the body is missing")
	}
	targets := slices.Concat(copyTo, overwrite)
	if len(targets) == 0 || slices.Contains(targets, "") {
		return badRequest("copyToDataCenters and overwriteDataCenters name no data center, or an empty one")
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.findStored(r)
	if err != nil {
		return err
	}
	if from := u.site(source); from == nil || !s.available(u, from) {
		return badRequest("sourceDataCenter %q does not have the image", source)
	}
	for _, name := range copyTo {
		s.startCopy(u, name, false)
	}
	for _, name := range overwrite {
		s.startCopy(u, name, true)
	}
	acknowledge(w, u.id, "Request initiated to copy image : "+u.imagePath())
	return nil
}

// startCopy starts copying to one data center, which need not be known yet. One
// that has the image, or is getting it, is left alone unless overwritten.
func (s *Server) startCopy(u *upload, name string, overwrite bool) {
	at := u.site(name)
	has := at != nil && s.available(u, at)
	if at == nil {
		u.sites = append(u.sites, site{DataCenter: DataCenter{Name: name, Region: name}})
		at = &u.sites[len(u.sites)-1]
	} else if at.deleted.IsZero() && !overwrite {
		return
	}
	now := s.core.Clock().Now()
	*at = site{DataCenter: at.DataCenter, copied: !has, overwritten: has, started: now}
	u.touched = now
}

// site returns the image in one data center, nil if it was never there.
func (u *upload) site(name string) *site {
	for i := range u.sites {
		if u.sites[i].is(name) {
			return &u.sites[i]
		}
	}
	return nil
}
