package oraclemarket

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/lenient"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

const maxLimit = 100

// Page is what the service says about a page of a list. Any field may be
// missing in an answer and is zero then.
type Page struct {
	// HasMore tells whether records follow this page.
	HasMore bool
	// Count is the number of records of this page, TotalResults that of all.
	Count        int
	TotalResults int
	Links        []Link

	// silent is a page without a word about what follows it.
	silent bool
}

// Link is an address the service gives with a page. The client never follows
// one: All counts offsets.
type Link struct {
	// Rel is what the link leads to, as in "SELF" or "NEXT".
	Rel  string
	Href string
}

// decodePage reads a collection whose items are records, bare or wrapped.
func decodePage(data []byte) ([]*MachineImageUploadRequest, Page, error) {
	var w struct {
		Items        []*MachineImageUploadRequest `json:"items"`
		HasMore      *lenient.Bool                `json:"hasMore"`
		Count        lenient.Int                  `json:"count"`
		TotalResults lenient.Int                  `json:"totalResults"`
		Links        []struct {
			Rel  lenient.String `json:"rel"`
			Href lenient.String `json:"href"`
		} `json:"links"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, Page{}, err
	}
	page := Page{Count: int(w.Count), TotalResults: int(w.TotalResults)}
	for _, l := range w.Links {
		page.Links = append(page.Links, Link{Rel: string(l.Rel), Href: string(l.Href)})
	}
	items := make([]*MachineImageUploadRequest, 0, len(w.Items))
	for _, item := range w.Items {
		if item != nil {
			items = append(items, item)
		}
	}
	// Seen on sibling lists only.
	page.silent = w.HasMore == nil && len(page.Links) == 0
	page.HasMore = w.HasMore != nil && bool(*w.HasMore)
	for _, l := range page.Links {
		page.HasMore = page.HasMore || w.HasMore == nil && strings.EqualFold(l.Rel, "NEXT")
	}
	return items, page, nil
}

func checkPaging(client *transport.Client, name string, limit, offset int) error {
	switch {
	case limit < 0 || limit > maxLimit:
		return client.Invalid(name+".Limit", "must be 1 to %d, or 0 for the default, not %d", maxLimit, limit)
	case offset < 0:
		return client.Invalid(name+".Offset", "must not be negative, not %d", offset)
	}
	return nil
}

type pageFunc func(limit, offset int) (*MachineImagePage, error)

// allPages goes on until a page says that it is the last, or is empty. The
// pages are as large as the service allows, unless the caller set a size.
func allPages(limit, offset int, get pageFunc) iter.Seq2[*MachineImageUploadRequest, error] {
	return func(yield func(*MachineImageUploadRequest, error) bool) {
		if limit == 0 {
			limit = maxLimit
		}
		offset := offset
		var previous *MachineImageUploadRequest
		for {
			page, err := get(limit, offset)
			if err != nil {
				yield(nil, err)
				return
			}
			items := page.Items
			if len(items) == 0 {
				return
			}
			if previous != nil && samePlace(previous, items[0]) {
				yield(nil, fmt.Errorf("%s: the service sent the same page for offset %d again", pkg, offset))
				return
			}
			previous = items[0]
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			offset += len(items)
			if !page.HasMore && !mayGoOn(page.Page, len(items), limit, offset) {
				return
			}
		}
	}
}

// mayGoOn tells whether records may follow a page that does not say so: there
// are more in all, or nothing is known and the page is full.
func mayGoOn(page Page, items, limit, offset int) bool {
	if !page.silent {
		return false
	}
	if page.TotalResults > 0 {
		return offset < page.TotalResults
	}
	return items >= limit
}

// samePlace tells whether two pages begin with one record, as they do when a
// service does not look at the offset.
func samePlace(a, b *MachineImageUploadRequest) bool {
	return a.UploadRequestID == b.UploadRequestID && a.ImageFilePath == b.ImageFilePath &&
		a.FileName == b.FileName && a.Application == b.Application && a.Version == b.Version
}
