package decode_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/imagejobs/imagejobs-go/internal/decode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// state is a string type as the services' packages have them.
type state string

const (
	running   state = "Running"
	completed state = "Completed"
)

func canonical(text string) state {
	for _, known := range []state{running, completed} {
		if strings.EqualFold(strings.TrimSpace(text), string(known)) {
			return known
		}
	}
	return state(text)
}

// plain decodes what all services send, eager all that a Decoder can.
var (
	plain = decode.New()
	eager = decode.New(decode.Enum(canonical), decode.SpacesInNames(), decode.TextOfAnything())
)

// field is a record with one field, and one that must survive it.
type field[T any] struct {
	Value T      `json:"value"`
	After string `json:"after"`
}

// requireField decodes each text into a field that had a value before, by
// encoding/json once more, and within a list.
func requireField[T any](t *testing.T, d *decode.Decoder, before T, wants map[string]T) {
	t.Helper()
	for text, want := range wants {
		data := []byte(`{"value":` + text + `,"after":"here"}`)
		got := field[T]{Value: before}
		require.NoError(t, d.Unmarshal(data, &got), text)
		require.Equal(t, field[T]{want, "here"}, got, text)

		again, err := json.Marshal(got)
		require.NoError(t, err, text)
		var back field[T]
		require.NoError(t, json.Unmarshal(again, &back), text)
		require.Equal(t, got, back, text)

		var list []T
		require.NoError(t, d.Unmarshal([]byte(`[`+text+`,`+text+`]`), &list), text)
		require.Equal(t, []T{want, want}, list, text)
	}
}

func TestInt(t *testing.T) {
	wants := map[string]int64{
		`0`:                                  0,
		`7`:                                  7,
		`-7`:                                 -7,
		`"7"`:                                7,
		`" 7 "`:                              7,
		`"-7"`:                               -7,
		`"+7"`:                               7,
		`"007"`:                              7,
		`"100%"`:                             100,
		`"45 %"`:                             45,
		`12.0`:                               12,
		`12.9`:                               12,
		`-12.9`:                              -12,
		`"99.5%"`:                            99,
		`1.7e9`:                              1_700_000_000,
		`"1.7e9"`:                            1_700_000_000,
		`"\u0037"`:                           7,
		`1E2`:                                100,
		`0.0000000000000000001`:              0,
		`-0`:                                 0,
		`2147483647`:                         math.MaxInt32,
		`""`:                                 0,
		`"  "`:                               0,
		`"%"`:                                0,
		`null`:                               0,
		`true`:                               0,
		`false`:                              0,
		`{}`:                                 0,
		`{"a":[1,{}]}`:                       0,
		`[]`:                                 0,
		`[7]`:                                0,
		`"seven"`:                            0,
		`"-"`:                                0,
		`"N/A"`:                              0,
		`"7,000"`:                            0,
		`"1 2"`:                              0,
		`"0x10"`:                             0,
		`"0x1p4"`:                            0,
		`"1_000"`:                            0,
		`"NaN"`:                              0,
		`"Inf"`:                              0,
		`"-Infinity"`:                        0,
		`1e300`:                              0,
		`"1e999"`:                            0,
		`-1e999999999999`:                    0,
		`9223372036854775808`:                0,
		`-1e19`:                              0,
		`"%7"`:                               0,
		`"7%%"`:                              0,
		`"\ud800"`:                           0,
		`"` + strings.Repeat("9", 1e5) + `"`: 0,
	}
	requireField(t, plain, 5, wants)
	small := map[string]int{}
	for text, want := range wants {
		small[text] = int(want)
	}
	requireField(t, plain, 5, small)
	wide := map[string]int64{
		`9223372036854775807`:    math.MaxInt64,
		`-9223372036854775808`:   math.MinInt64,
		`"9223372036854775807"`:  math.MaxInt64,
		`4611686018427387904.0`:  1 << 62,
		`-4611686018427387904.0`: -1 << 62,
	}
	requireField(t, plain, 5, wide)
	for text, want := range wide {
		var got field[int]
		require.NoError(t, plain.Unmarshal([]byte(`{"value":`+text+`}`), &got))
		if strconv.IntSize == 32 {
			want = 0
		}
		require.EqualValues(t, want, got.Value, text)
	}
}

func TestString(t *testing.T) {
	wants := map[string]string{
		`"x"`:                  "x",
		`""`:                   "",
		"\"a\xffb\"":           "a\ufffdb",
		`"\ud800"`:             "\ufffd",
		`" x "`:                " x ",
		`"\u00e9\n"`:           "é\n",
		`7`:                    "7",
		`-1.50`:                "-1.50",
		`12345678901234567890`: "12345678901234567890",
		`true`:                 "true",
		`false`:                "false",
		`null`:                 "",
		`{}`:                   "",
		`[]`:                   "",
		`[ null, "" ]`:         "",
	}
	requireField(t, plain, "before", wants)
	requireField(t, eager, "before", wants)
	composed := map[string]string{
		`{"a":1}`:                  `{"a":1}`,
		"{\"a\": \"\xff\"}":        "{\"a\": \"\ufffd\"}",
		`["x"]`:                    `x`,
		`["x",[7,[],["y"]],false]`: `x; 7; y`,
		`[{"a":["b"]},true]`:       `{"a":["b"]}; true`,
	}
	requireField(t, eager, "before", composed)
	for text := range composed {
		composed[text] = ""
	}
	requireField(t, plain, "before", composed)
}

func TestBool(t *testing.T) {
	requireField(t, plain, true, map[string]bool{
		`true`: true, `"true"`: true, `"TRUE"`: true, `" True "`: true, `1`: true, `"1"`: true, `"yes"`: true, `"On"`: true,
		`false`: false, `"false"`: false, `0`: false, `"0"`: false, `""`: false, `"no"`: false, `"off"`: false, `null`: false,
		`2`: false, `"N/A"`: false, `{}`: false, `{"a":1}`: false, `[]`: false, `[true]`: false,
	})
	var page struct {
		HasMore *bool `json:"hasMore"`
	}
	for text, want := range map[string]*bool{`{}`: nil, `{"hasMore":null}`: nil, `{"hasMore":"no"}`: new(false), `{"hasMore":1}`: new(true)} {
		page.HasMore = nil
		require.NoError(t, plain.Unmarshal([]byte(text), &page))
		require.Equal(t, want, page.HasMore, text)
	}
}

func TestTime(t *testing.T) {
	at := time.Date(2016, 7, 6, 5, 4, 3, 0, time.UTC)
	requireField(t, plain, time.Unix(1, 0), map[string]time.Time{
		`"2016-07-06T05:04:03Z"`:           at,
		`"2016-07-06T05:04:03.000Z"`:       at,
		`"2016-07-06T05:04:03.123456789Z"`: at.Add(123456789),
		`"2016-07-06T14:04:03+09:00"`:      at,
		`"2016-07-06T14:04:03+0900"`:       at,
		`"2016-07-06T14:04:03.5+0900"`:     at.Add(500 * time.Millisecond),
		`"2016-07-06T05:04:03"`:            at,
		`"2016-07-06T05:04:03.000000"`:     at,
		`"2016-07-06 05:04:03"`:            at,
		`"2016-07-06 05:04:03.25"`:         at.Add(250 * time.Millisecond),
		`" 2016-07-06 05:04:03 "`:          at,
		`"Wed, 06 Jul 2016 05:04:03 GMT"`:  at,
		`1467781443`:                       at,
		`"1467781443"`:                     at,
		`1467781443.9`:                     at,
		`1.467781443e9`:                    at,
		`253402300799`:                     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		`0`:                                {},
		`"0"`:                              {},
		`-5`:                               {},
		`null`:                             {},
		`""`:                               {},
		`" "`:                              {},
		`"soon"`:                           {},
		`"-"`:                              {},
		`"0000-00-00 00:00:00"`:            {},
		`"2016-13-06 05:04:03"`:            {},
		`"2016-07-06"`:                     {},
		`true`:                             {},
		`false`:                            {},
		`{}`:                               {},
		`[]`:                               {},
		`[1467781443]`:                     {},
		`{"date":"2016-07-06 05:04:03"}`:   {},
		`1467781443000`:                    {}, // as milliseconds: nobody documents that
		`253402300800`:                     {}, // the year 10000
		`1e300`:                            {},
		`9223372036854775807`:              {},
		`"9999-12-31T23:59:59-01:00"`:      {},
		`"0000-01-01T00:00:00+01:00"`:      {},
		`"0000-01-01T00:00:00Z"`:           {},
	})
	require.Equal(t, at, decode.ParseTime("2016-07-06T14:04:03+09:00"))
	require.Zero(t, decode.ParseTime("soon"))
}

func TestEnum(t *testing.T) {
	wants := map[string]state{
		`"Running"`:       running,
		`" cOMPLETED "`:   completed,
		`"\u0052unning"`:  running,
		`"Paused "`:       "Paused ",
		`7`:               "7",
		`""`:              "",
		`null`:            "",
		`true`:            "",
		`{}`:              "",
		`{"a":"Running"}`: "",
		`["Running"]`:     "",
		"\"\xff\"":        "\ufffd",
	}
	requireField(t, eager, completed, wants)
	var got map[string]state
	require.NoError(t, eager.Unmarshal([]byte(`{"a":"running","b":[]}`), &got))
	require.Equal(t, map[string]state{"a": running, "b": ""}, got)
}

func TestFlag(t *testing.T) {
	requireField(t, plain, "before", map[string]decode.Flag{
		`true`: decode.True, `"true"`: decode.True, `1`: decode.True, `" YES "`: decode.True,
		`false`: decode.False, `"no"`: decode.False, `0`: decode.False, `""`: decode.False,
		`null`: decode.Unset, `{}`: decode.Unset, `[]`: decode.Unset, `[{}]`: decode.Unset,
		`"no such image"`:   "no such image",
		"\"\xff\"":          "\ufffd",
		`7`:                 "7",
		`{"code":1}`:        `{"code":1}`,
		`["one",{},"two"]`:  "one; two",
		`"Failed: \"x\"\n"`: "Failed: \"x\"\n",
	})
	require.Empty(t, decode.True.Text())
	require.Empty(t, decode.False.Text())
	require.Empty(t, decode.Unset.Text())
	require.Equal(t, "why", decode.Flag("why").Text())
}

func TestText(t *testing.T) {
	requireField(t, plain, "before", map[string]decode.Text{
		`"why"`: "why", `7`: "7", `true`: "true", `{"a":1}`: `{"a":1}`, `["one","",null,2,["three"]]`: "one; 2; three",
		`false`: "", `null`: "", `""`: "", `[]`: "", `{ }`: "", `[{},[]]`: "", "\"\xff\"": "\ufffd",
	})
}

// In place of an object or a list stands what means "none", and nothing else.
func TestEmptyForms(t *testing.T) {
	type inner struct {
		A int64 `json:"a"`
	}
	type record struct {
		List    []inner                    `json:"list"`
		Map     map[string]inner           `json:"map"`
		Deep    map[string]map[string]bool `json:"deep"`
		Struct  inner                      `json:"struct"`
		Raw     json.RawMessage            `json:"raw"`
		After   int64                      `json:"after"`
		Pointer *inner                     `json:"pointer"`
	}
	for _, none := range []string{`null`, `false`, `""`, `" "`, `{}`, `[]`, "[\n]"} {
		for _, name := range []string{"list", "map", "struct"} {
			var got record
			require.NoError(t, plain.Unmarshal([]byte(`{"`+name+`":`+none+`,"after":7}`), &got), none)
			require.Empty(t, got.List)
			require.Empty(t, got.Map)
			require.Equal(t, inner{}, got.Struct)
			require.EqualValues(t, 7, got.After)
		}
		var got record
		data := []byte(`{"raw":` + none + `,"list":[{"a":1},` + none + `,{"a":3}],"deep":{"x":` + none + `,"y":{"z":1}},"pointer":{"a":"2"},"map":{"m":{"a":1}}}`)
		require.NoError(t, plain.Unmarshal(data, &got), none)
		require.Equal(t, none, string(got.Raw), "a type that decodes itself gets what was sent")
		require.Equal(t, []inner{{1}, {}, {3}}, got.List)
		require.Empty(t, got.Deep["x"])
		require.Equal(t, map[string]bool{"z": true}, got.Deep["y"])
		require.Equal(t, &inner{2}, got.Pointer)
		require.Equal(t, map[string]inner{"m": {1}}, got.Map)
	}
	// Only the type's own empty form is more than nothing.
	var got record
	require.NoError(t, plain.Unmarshal([]byte(`{"list":[],"map":{}}`), &got))
	require.NotNil(t, got.List)
	require.NotNil(t, got.Map)
	for _, none := range []string{`{"list":{},"map":[]}`, `{"list":null,"map":null}`, `{"list":"","map":false}`} {
		got = record{List: []inner{{1}}, Map: map[string]inner{"a": {}}}
		require.NoError(t, plain.Unmarshal([]byte(none), &got))
		require.Nil(t, got.List)
		require.Nil(t, got.Map)
	}

	for data, want := range map[string]string{
		`{"list":{"1":{"a":1}}}`:     `unexpected { at "/list" (offset 8)`,
		`{"map":[{"a":1}]}`:          `unexpected [ at "/map" (offset 7)`,
		`{"struct":[0]}`:             `unexpected [ at "/struct" (offset 10)`,
		`{"list":"SECRET"}`:          `unexpected string at "/list" (offset 8)`,
		`{"map":true}`:               `unexpected true at "/map" (offset 7)`,
		`{"list":7}`:                 `unexpected number at "/list" (offset 8)`,
		`{"deep":{"a":{},"b":[[]]}}`: `unexpected [ at "/deep/b" (offset 20)`,
		`{"list":[{},[1]]}`:          `unexpected [ at "/list/1" (offset 12)`,
	} {
		require.EqualError(t, plain.Unmarshal([]byte(data), new(record)), want, data)
		require.EqualError(t, eager.Unmarshal([]byte(data), new(record)), want, data)
	}
}

func TestTopLevel(t *testing.T) {
	type record struct {
		A int64 `json:"a"`
	}
	for _, data := range []string{
		``, ` `, `null`, " null\n", "\ufeffnull", `[]`, `""`, `"text"`, `false`, `7`, `{"a":1`, `{"a":1}}`, `{"a":1} x`, `{"a":1}{"a":1}`, `{"a":}`,
		`{a:1}`, `{"a":1,}`, `<html>`, `{"a":01}`, "{\"a\":\"\n\"}", `{"b":"\x"}`, "\xff", `{"a":NaN}`, `{"list":[1,2`, `[{"a":1}]`, "\ufeff\ufeff{}",
	} {
		require.Error(t, plain.Unmarshal([]byte(data), new(record)), data)
		require.Error(t, eager.Unmarshal([]byte(data), new(record)), data)
	}
	for _, data := range []string{``, `null`, `{}`, `""`, `false`, `{"a":1}`, `[1`} {
		require.Error(t, plain.Unmarshal([]byte(data), new([]record)), data)
	}
	for _, data := range []string{`{"a":"1"}`, "\ufeff{\"a\":1}", " \r\n\t{ \"a\" : 1 } \n"} {
		var got record
		require.NoError(t, plain.Unmarshal([]byte(data), &got), data)
		require.Equal(t, record{1}, got)
	}
	require.ErrorContains(t, plain.Unmarshal([]byte(`{"a":1,"b":<}`), new(record)), "invalid character '<' at start of value within \"/b\" after offset 11")
	require.ErrorContains(t, plain.Unmarshal([]byte(`{"a":1`), new(record)), "unexpected EOF after offset 6")
	require.ErrorContains(t, plain.Unmarshal([]byte(`{"a":1} {`), new(record)), "after offset 8")
	require.EqualError(t, plain.Unmarshal([]byte(`[]`), new(record)), "unexpected [ at the top level (offset 0)")
	require.EqualError(t, plain.Unmarshal([]byte(`null`), new(record)), "null in place of a value")
}

// What is pinned here differs between encoding/json and its second version.
func TestNames(t *testing.T) {
	type record struct {
		Checksum string `json:"checkSum"`
		ImageID  string `json:"source_image_id"`
	}
	for data, want := range map[string]record{
		`{"checksum":"a","SOURCE_IMAGE_ID":"b"}`:    {"a", "b"},
		`{"checkSum":"a","checksum":"b"}`:           {Checksum: "b"},
		`{"checkSum":"a","checkSum":null}`:          {},
		`{"sourceImageId":"b"}`:                     {ImageID: "b"},
		`{"source image_id":"b","other":{"a b":1}}`: {},
	} {
		var got record
		require.NoError(t, plain.Unmarshal([]byte(data), &got), data)
		require.Equal(t, want, got, data)
	}
	for data, want := range map[string]record{
		`{"source image_id":"a b","check sum":"c"}`:                      {"c", "a b"},
		`{"x":{"a b":[{"source image_id":1}]}, "source image id" : "y"}`: {ImageID: "y"},
		`{"checkSum":"a \"b c\": d","source_image id":": "}`:             {`a "b c": d`, ": "},
		`{"source_image_id":"1","source image_id":"2"}`:                  {ImageID: "2"},
		"\ufeff {\"source image_id\":\"b\"}":                             {ImageID: "b"},
		`{"new":1,"source_image_id":"b"}`:                                {ImageID: "b"},
	} {
		before := strings.Clone(data)
		body := []byte(data)
		var got record
		require.NoError(t, eager.Unmarshal(body, &got), data)
		require.Equal(t, want, got, data)
		require.Equal(t, before, string(body), "the response stays as it was")
	}
	require.ErrorContains(t, eager.Unmarshal([]byte(`{"check sum":1,"b":}`), new(record)), "after offset 19")
}

type job struct {
	State   state     `json:"jobstatename"`
	Created time.Time `json:"jobcreated,omitzero"`
	Error   string    `json:"joberror,omitempty"`
}

type jobStatus struct {
	UpdateID int64 `json:"updateid"`
	job
}

type envelope struct {
	Success      decode.Flag `json:"success"`
	Error        decode.Flag `json:"error"`
	ErrorMessage decode.Text `json:"error_message"`
	Messages     decode.Text `json:"messages"`
}

// A record and what stands around it are one struct: both are inlined.
func TestEmbedded(t *testing.T) {
	var got struct {
		envelope
		jobStatus
		Create time.Time `json:"jobcreate"`
	}
	require.NoError(t, eager.Unmarshal([]byte(`{"success":"no","error":{"a":1},"error_message":["one","two"],"messages":[],
		"updateid":"5","jobstatename":"running","jobcreate":1,"joberror":["x","y"]}`), &got))
	require.Equal(t, envelope{Success: decode.False, Error: `{"a":1}`, ErrorMessage: "one; two"}, got.envelope)
	require.Equal(t, jobStatus{5, job{State: running, Error: "x; y"}}, got.jobStatus)
	require.Equal(t, time.Unix(1, 0).UTC(), got.Create)

	again, err := json.Marshal(got.jobStatus)
	require.NoError(t, err)
	require.JSONEq(t, `{"updateid":5,"jobstatename":"Running","joberror":"x; y"}`, string(again))
	var back jobStatus
	require.NoError(t, json.Unmarshal(again, &back))
	require.Equal(t, got.jobStatus, back)
}

// A record may be wrapped in an object of one member.
func TestWrapped(t *testing.T) {
	type item struct {
		jobStatus
		Wrapped *jobStatus `json:"image"`
	}
	var got struct {
		Items []*item `json:"items"`
	}
	require.NoError(t, eager.Unmarshal([]byte(`{"items":[{"image":{"updateid":1}},null,{"updateid":2}]}`), &got))
	items := decode.WithoutNil(got.Items)
	require.Len(t, items, 2)
	require.EqualValues(t, 1, items[0].Wrapped.UpdateID)
	require.Nil(t, items[1].Wrapped)
	require.EqualValues(t, 2, items[1].UpdateID)
}

func TestHostileInput(t *testing.T) {
	type node struct {
		Next *node            `json:"next"`
		List []node           `json:"list"`
		Map  map[string]*node `json:"map"`
		Text string           `json:"text"`
		Note decode.Text      `json:"note"`
		Flag decode.Flag      `json:"flag"`
		At   time.Time        `json:"at"`
		N    int64            `json:"n"`
	}
	long := strings.Repeat("x", 1<<20)
	digits := strings.Repeat("1234567890", 1<<17)
	for _, d := range []*decode.Decoder{plain, eager} {
		for _, open := range []string{`{"next":`, `{"list":[`, `{"map":{"a":`, `{"text":[[`, `{"note":[[`, `{"flag":[{"a":`, `{"other":[`, `[`} {
			require.Error(t, d.Unmarshal([]byte(strings.Repeat(open, 20_000)), new(node)))
		}
		require.NoError(t, d.Unmarshal([]byte(`{"note":`+strings.Repeat("[", 9000)+`"deep"`+strings.Repeat("]", 9000)+`}`), new(node)))
		var got node
		require.NoError(t, d.Unmarshal([]byte(`{"text":"`+long+`","note":"`+long+`","flag":"`+long+`","at":"`+long+`:","n":"`+long+`"}`), &got))
		require.Equal(t, node{Text: long, Note: decode.Text(long), Flag: decode.Flag(long)}, got)
		got = node{}
		require.NoError(t, d.Unmarshal([]byte(`{"text":`+digits+`,"note":`+digits+`,"flag":`+digits+`,"at":`+digits+`,"n":`+digits+`}`), &got))
		require.Equal(t, node{Text: digits, Note: decode.Text(digits), Flag: decode.Flag(digits)}, got)

		for _, data := range []string{`{"` + long + `":<}`, `{"map":{"` + long + `":7}}`, `{"list":"` + long + `"}`, `{"text":"\` + long + `"}`} {
			err := d.Unmarshal([]byte(data), new(node))
			require.Error(t, err)
			require.Less(t, len(err.Error()), 400, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	d := decode.New(decode.Enum(canonical), decode.SpacesInNames())
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				var got jobStatus
				if err := d.Unmarshal([]byte(`{"update id":`+strconv.Itoa(i)+`,"jobstatename":"running"}`), &got); err != nil || got.UpdateID != int64(i) || got.State != running {
					t.Error(got, err)
				}
			}
		})
	}
	group.Wait()
}
