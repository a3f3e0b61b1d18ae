package oraclemarket

import (
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/imagejobs/imagejobs-go/internal/decode"
	"github.com/imagejobs/imagejobs-go/internal/transport"
)

// Page describes a page of a list. Missing fields are zero.
type Page struct {
	// HasMore reports whether records follow this page.
	HasMore bool `json:"hasMore"`
	// Count is the number of records on this page, TotalResults that on all pages.
	Count        int `json:"count"`
	TotalResults int `json:"totalResults"`
	// Links are addresses of other pages.
	Links []Link `json:"links,omitempty"`

	noPagingInfo bool // the page says nothing about what follows it
}

// Link is an address that the service sends with a page. The client follows
// none: All uses offsets.
type Link struct {
	// Rel is what the link leads to, such as "SELF" or "NEXT".
	Rel string `json:"rel"`
	// Href is the address.
	Href string `json:"href"`
}

// MachineImagePage is one page of upload requests.
type MachineImagePage struct {
	Page

	// Items are the records of the page.
	Items []*MachineImageUploadRequest `json:"items"`
}

// OrderBy is a field that a list can be sorted by.
type OrderBy string

// The documented fields to sort by: name and date of the last update.
const (
	OrderByName           OrderBy = "NAME"
	OrderByLastUpdateDate OrderBy = "LASTUPDATEDATE"
)

// SortOrder is the direction of a sorted list.
type SortOrder string

// The documented directions.
const (
	SortAscending  SortOrder = "ASC"
	SortDescending SortOrder = "DESC"
)

// ListMachineImagesOptions filters and sorts a list. The zero value, like nil,
// means the service's defaults.
type ListMachineImagesOptions struct {
	// Keyword is the text to search for; in which fields is not documented.
	Keyword string
	// Limit is the largest number of records on a page, 1 to 100. 0 means the
	// service's default, 30.
	Limit int
	// Offset is how many records to skip.
	Offset int
	// Statuses lists only requests in one of these states.
	Statuses []Status
	// OrderBy and SortOrder sort the list.
	OrderBy   OrderBy
	SortOrder SortOrder
}

func (o *ListMachineImagesOptions) check() error {
	if o == nil {
		return nil
	}
	return checkPaging("ListMachineImagesOptions", o.Limit, o.Offset)
}

type listQuery struct {
	Keyword   string   `url:"keyword,omitempty"`
	Limit     int      `url:"limit,omitempty"`
	Offset    int      `url:"offset,omitempty"`
	Statuses  []string `url:"machineimagestatus,omitempty,comma"`
	OrderBy   string   `url:"orderby,omitempty"`
	SortOrder string   `url:"sortorder,omitempty"`
}

func (o *ListMachineImagesOptions) query() listQuery {
	if o == nil {
		return listQuery{}
	}
	q := listQuery{
		Keyword: o.Keyword, Limit: o.Limit, Offset: o.Offset,
		OrderBy: string(o.OrderBy), SortOrder: string(o.SortOrder),
	}
	for _, s := range o.Statuses {
		q.Statuses = append(q.Statuses, s.filterValue())
	}
	return q
}

// wrappedRequest is a record, bare or as lists have it, in an object of one
// member.
type wrappedRequest struct {
	MachineImageUploadRequest

	Wrapped *MachineImageUploadRequest `json:"machineimage"`
}

func (w *wrappedRequest) unwrap() *MachineImageUploadRequest {
	if w.Wrapped != nil {
		return w.Wrapped
	}
	return &w.MachineImageUploadRequest
}

// decodePage accepts a collection in which identified reports of each record
// that it is one.
func decodePage(r *transport.Response, identified func(*MachineImageUploadRequest) bool) (*MachineImagePage, error) {
	var collection struct {
		Page

		HasMore decode.Flag       `json:"hasMore"`
		Items   []*wrappedRequest `json:"items"`
	}
	if err := r.JSON(&collection); err != nil {
		return nil, err
	}
	if collection.Items == nil {
		return nil, r.Malformed("it has no items")
	}
	page := &MachineImagePage{Page: collection.Page, Items: make([]*MachineImageUploadRequest, 0, len(collection.Items))}
	for _, item := range decode.WithoutNil(collection.Items) {
		record := item.unwrap()
		if !identified(record) {
			return nil, r.Malformed("one of its items names no image")
		}
		page.Items = append(page.Items, record)
	}
	// Seen on sibling lists only.
	page.noPagingInfo = collection.HasMore == decode.Unset && len(page.Links) == 0
	page.HasMore = collection.HasMore == decode.True
	for _, l := range page.Links {
		page.HasMore = page.HasMore || collection.HasMore == decode.Unset && strings.EqualFold(l.Rel, "NEXT")
	}
	return page, nil
}

type pageFunc func(limit, offset int) (*MachineImagePage, error)

// maxSamePages is how often a page may come in a row. Records that are created
// meanwhile shift the list, so that a page of one item may come twice.
const maxSamePages = 3

// allPages continues until a page reports that it is the last, or is empty. The
// pages are as large as the service allows, unless the caller set a size.
func allPages(limit, offset int, get pageFunc) iter.Seq2[*MachineImageUploadRequest, error] {
	return func(yield func(*MachineImageUploadRequest, error) bool) {
		if limit == 0 {
			limit = maxLimit
		}
		offset, same := offset, 1
		var previous []*MachineImageUploadRequest
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
			if reflect.DeepEqual(items, previous) {
				same++
				if same > maxSamePages {
					yield(nil, fmt.Errorf("%s: the service sent the same page for offset %d again", pkg, offset))
					return
				}
			} else {
				same = 1
				for _, item := range items {
					if !yield(item, nil) {
						return
					}
				}
			}
			previous = items
			offset += len(items)
			if !page.HasMore && !mayHaveMore(page.Page, len(items), limit, offset) {
				return
			}
		}
	}
}

// mayHaveMore reports whether records may follow a page that does not report
// it: there are more in all, or nothing is known and the page is full.
func mayHaveMore(page Page, items, limit, offset int) bool {
	if !page.noPagingInfo {
		return false
	}
	if page.TotalResults > 0 {
		return offset < page.TotalResults
	}
	return items >= limit
}
