package oraclemarkettest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/oraclemarket/oraclemarkettest"
)

type page struct {
	Items []struct {
		MachineImage map[string]any `json:"machineimage"`
	} `json:"items"`
	HasMore      bool `json:"hasMore"`
	Count        int  `json:"count"`
	TotalResults int  `json:"totalResults"`
	Links        []struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	} `json:"links"`
}

func (g *rig) list(path string) page {
	g.t.Helper()
	got := g.do(http.MethodGet, path, nil)
	require.Equal(g.t, http.StatusOK, got.status, got.body)
	var p page
	require.NoError(g.t, json.Unmarshal([]byte(got.body), &p))
	return p
}

// names returns the applications of a list's items, in order.
func (p page) names() string {
	var names []string
	for _, item := range p.Items {
		name, _ := item.MachineImage["application"].(string)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestListEnvelope(t *testing.T) {
	g := newRig(t)
	g.want(200, fmt.Sprintf(`{"items":[],"hasMore":false,"count":0,"totalResults":0,"links":[`+
		`{"rel":"CANONICAL","href":"%[1]s"},{"rel":"SELF","href":"%[1]s"}]}`, g.URL+images), http.MethodGet, images, nil)
	for i := range 3 {
		g.AddImage(oraclemarkettest.Image{Application: fmt.Sprint("app", i), Version: "2016"})
	}
	base := g.URL + images
	p := g.list(images + "?keyword=2016&limit=1&offset=1")
	require.Equal(t, "app1", p.names())
	require.True(t, p.HasMore)
	require.Equal(t, 1, p.Count)
	require.Equal(t, 3, p.TotalResults)
	require.Len(t, p.Links, 3)
	require.Equal(t, base, p.Links[0].Href)
	require.Equal(t, base+"?keyword=2016&limit=1&offset=1", p.Links[1].Href)
	require.Equal(t, "NEXT", p.Links[2].Rel)
	require.Equal(t, base+"?offset=2&limit=1&keyword=2016", p.Links[2].Href)
	require.Equal(t, "app2", g.list(strings.TrimPrefix(p.Links[2].Href, g.URL)).names())

	// An item is what the detail call returns.
	one := g.do(http.MethodGet, at(7934471), nil).body
	require.Equal(t, one, func() string {
		body := g.do(http.MethodGet, images+"?keyword=2016&limit=1&offset=1", nil).body
		var raw struct {
			Items []map[string]json.RawMessage `json:"items"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &raw))
		return string(raw.Items[0]["machineimage"])
	}())
}

func TestListBareItems(t *testing.T) {
	g := newRig(t, oraclemarkettest.WithDialect(oraclemarkettest.Dialect{BareItems: true}))
	g.AddImage(oraclemarkettest.Image{Application: "app"})
	var p struct {
		Items []map[string]any `json:"items"`
	}
	require.NoError(t, json.Unmarshal([]byte(g.do(http.MethodGet, images, nil).body), &p))
	require.Equal(t, "app", p.Items[0]["application"])
}

func TestListPages(t *testing.T) {
	g := newRig(t)
	for i := range 101 {
		g.AddImage(oraclemarkettest.Image{Application: fmt.Sprintf("app%03d", i)})
	}
	require.Equal(t, 30, g.list(images).Count)
	require.Equal(t, 100, g.list(images+"?limit=100").Count)
	last := g.list(images + "?offset=100")
	require.Equal(t, "app100", last.names())
	require.False(t, last.HasMore)
	require.Len(t, last.Links, 2)
	beyond := g.list(images + "?offset=1000")
	require.Zero(t, beyond.Count)
	require.Equal(t, 101, beyond.TotalResults)
	require.False(t, beyond.HasMore)
	for _, query := range []string{"limit=0", "limit=101", "limit=-1", "limit=x", "offset=-1", "offset=x"} {
		name, _, _ := strings.Cut(query, "=")
		g.wantError(400, name+` "`, http.MethodGet, images+"?"+query, nil)
		g.wantError(400, name+` "`, http.MethodGet, storage+"?"+query, nil)
	}
}

func TestListFilters(t *testing.T) {
	g := newRig(t)
	g.AddImage(oraclemarkettest.Image{Application: "Word", Version: "1", OperatingSystem: "Linux", FileName: "w.gz"})
	g.AddImage(oraclemarkettest.Image{Application: "b", Version: "OL67", OperatingSystem: "Windows", FileName: "b.gz"})
	g.create("x")   // My_Machine_Image
	g.initiate(1)   // My_Machine_Image_chunk
	g.upload("one") // My_Machine_Image_chunk
	g.clock.Advance(time.Second)
	for query, want := range map[string]string{
		"":                      "Word b My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk",
		"keyword=WORD":          "Word",
		"keyword=ol6":           "b",
		"keyword=windows":       "b",
		"keyword=.gz":           "Word b My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk",
		"keyword=none":          "",
		"keyword=APS1826":       "", // the sample
		"unknown=1":             "Word b My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk",
		"machineimagestatus=":   "Word b My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk",
		"machineimagestatus=C":  "error",
		"orderby=NAME":          "My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk Word b",
		"orderby=name":          "My_Machine_Image My_Machine_Image_chunk My_Machine_Image_chunk Word b",
		"orderby=x":             "error",
		"sortorder=x":           "error",
		"sortorder=DESC":        "My_Machine_Image_chunk My_Machine_Image_chunk My_Machine_Image b Word",
		"sortorder=asc&limit=1": "Word",
		"machineimagestatus=" + url.QueryEscape("IN PROGESS"):                       "My_Machine_Image My_Machine_Image_chunk",
		"machineimagestatus=" + url.QueryEscape("in progress"):                      "My_Machine_Image My_Machine_Image_chunk",
		"machineimagestatus=" + url.QueryEscape("INITIATED, COMPLETED"):             "Word b My_Machine_Image_chunk",
		"machineimagestatus=" + url.QueryEscape("DELETED,VIRUS SCAN IN PROGRESS"):   "",
		"machineimagestatus=" + url.QueryEscape("DELECTION FAILED,DELETION FAILED"): "",
		"orderby=NAME&sortorder=DESC&keyword=chunk":                                 "My_Machine_Image_chunk My_Machine_Image_chunk",
	} {
		if want == "error" {
			require.Equal(t, http.StatusBadRequest, g.do(http.MethodGet, images+"?"+query, nil).status, query)
			continue
		}
		require.Equal(t, want, g.list(images+"?"+query).names(), query)
	}
}

func TestListByDate(t *testing.T) {
	g := newRig(t)
	first := g.initiate(1)
	g.clock.Advance(time.Second)
	g.AddImage(oraclemarkettest.Image{Application: "a"})
	g.clock.Advance(time.Second)
	g.AddImage(oraclemarkettest.Image{Application: "b"})
	require.Equal(t, "My_Machine_Image_chunk a b", g.list(images+"?orderby=LASTUPDATEDATE").names())
	g.clock.Advance(time.Second)
	g.chunk(first, 1, "x")
	require.Equal(t, "a b My_Machine_Image_chunk", g.list(images+"?orderby=LASTUPDATEDATE").names())
	require.Equal(t, "My_Machine_Image_chunk b a", g.list(images+"?orderby=lastupdatedate&sortorder=desc").names())
}
