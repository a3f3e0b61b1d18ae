package lenient

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{
		`0`:                      0,
		`7`:                      7,
		`-7`:                     -7,
		`"7"`:                    7,
		`" 7 "`:                  7,
		`"-7"`:                   -7,
		`"+7"`:                   7,
		`"007"`:                  7,
		`"100%"`:                 100,
		`"45 %"`:                 45,
		`"%"`:                    0,
		`""`:                     0,
		`"  "`:                   0,
		`12.0`:                   12,
		`12.9`:                   12,
		`-12.9`:                  -12,
		`"99.5%"`:                99,
		`1.7e9`:                  1_700_000_000,
		`9223372036854775807`:    math.MaxInt64,
		`-9223372036854775808`:   math.MinInt64,
		`"9223372036854775807"`:  math.MaxInt64,
		`4611686018427387904.0`:  1 << 62,
		`"\u0037"`:               7,
		`1E2`:                    100,
		`0.0000000000000000001`:  0,
		`-4611686018427387904.0`: -1 << 62,
	} {
		var got Int
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.EqualValues(t, want, got, text)
	}
	for _, text := range []string{
		`true`, `{}`, `[]`, `[7]`, `"seven"`, `"7,000"`, `"1 2"`, `"0x10"`, `"0x1p4"`, `"1_000"`, `"NaN"`, `"Inf"`, `"-Infinity"`, `1e300`, `"1e999"`,
		`9223372036854775808`, `"%7"`, `"7%%"`, `9.3e18`,
	} {
		got := Int(5)
		require.Error(t, json.Unmarshal([]byte(text), &got), text)
		require.EqualValues(t, 5, got, text)
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		`"x"`:                  "x",
		`""`:                   "",
		"\"a\xffb\"":           "a\ufffdb", // as encoding/json does
		`" x "`:                " x ",
		`"\u00e9\n"`:           "é\n",
		`7`:                    "7",
		`-1.50`:                "-1.50",
		`12345678901234567890`: "12345678901234567890",
		`true`:                 "true",
		`false`:                "false",
	} {
		var got String
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.EqualValues(t, want, got, text)
	}
	for _, text := range []string{`{}`, `[]`, `{"a":1}`, `["x"]`} {
		got := String("kept")
		err := json.Unmarshal([]byte(text), &got)
		require.ErrorContains(t, err, "a string or number was expected", text)
		require.EqualValues(t, "kept", got, text)
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string]bool{
		`true`: true, `"true"`: true, `"TRUE"`: true, `" True "`: true, `1`: true, `"1"`: true,
		`false`: false, `"false"`: false, `0`: false, `"0"`: false, `""`: false,
	} {
		got := Bool(!want)
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.EqualValues(t, want, got, text)
	}
	for _, text := range []string{`2`, `"yes"`, `"on"`, `{}`, `[]`, `1.0`} {
		got := Bool(true)
		require.Error(t, json.Unmarshal([]byte(text), &got), text)
		require.True(t, bool(got), text)
	}
}

func TestTime(t *testing.T) {
	at := time.Date(2016, 7, 6, 5, 4, 3, 0, time.UTC)
	for text, want := range map[string]time.Time{
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
		`""`:                               {},
		`" "`:                              {},
		`"soon"`:                           {},
		`"0000-00-00 00:00:00"`:            {},
		`"2016-13-06 05:04:03"`:            {},
		`"2016-07-06"`:                     {},
		`true`:                             {},
		`false`:                            {},
		`{}`:                               {},
		`[]`:                               {},
		`{"date":"2016-07-06 05:04:03"}`:   {},
		`1467781443000`:                    {}, // as milliseconds: nobody documents that
		`253402300800`:                     {}, // the year 10000
		`1e300`:                            {},
		`9223372036854775807`:              {},
		`"9999-12-31T23:59:59-01:00"`:      {},
		`"0000-01-01T00:00:00+01:00"`:      {},
		`"0000-01-01T00:00:00Z"`:           {},
	} {
		got := Time{time.Unix(1, 0)}
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got.Time, text)
		_, err := json.Marshal(got.Time)
		require.NoError(t, err, text)
		require.Equal(t, time.UTC, got.Location())
	}
}

func TestMap(t *testing.T) {
	for text, want := range map[string]Map[int]{
		`{"a":1,"b":2}`: {"a": 1, "b": 2},
		`{}`:            {},
		`[]`:            nil,
		"[ ]":           nil,
	} {
		var got Map[int]
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{`[1]`, `[{}]`, `"a"`, `7`, `true`, `{"a":"x"}`} {
		var got Map[int]
		require.Error(t, json.Unmarshal([]byte(text), &got), text)
	}
	require.Error(t, new(Map[int]).UnmarshalJSON([]byte("[1,")))
	require.Error(t, new(Map[int]).UnmarshalJSON(nil))

	var nested struct {
		Regions Map[Map[String]] `json:"regions"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"regions":{"eu":{"x":7},"us":[]}}`), &nested))
	require.Equal(t, Map[Map[String]]{"eu": {"x": "7"}, "us": nil}, nested.Regions)
}

// Null is like absent: it leaves what was there.
func TestNull(t *testing.T) {
	type all struct {
		I Int         `json:"i"`
		S String      `json:"s"`
		B Bool        `json:"b"`
		T Time        `json:"t"`
		M Map[string] `json:"m"`
	}
	fresh := func() all { return all{5, "s", true, Time{time.Unix(5, 0)}, Map[string]{"k": "v"}} }
	for _, text := range []string{`{}`, `{"i":null,"s":null,"b":null,"t":null,"m":null}`} {
		got := fresh()
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, fresh(), got, text)
	}
}

func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, err := range []error{
		json.Unmarshal([]byte(`"`+long+`"`), new(Int)),
		json.Unmarshal([]byte(`"`+long+`"`), new(Bool)),
		json.Unmarshal([]byte(`["`+long+`"]`), new(String)),
		json.Unmarshal([]byte(`"`+strings.Repeat("é", 5000)+`"`), new(Int)),
	} {
		require.Error(t, err)
		require.Less(t, len(err.Error()), 200)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`"seven"`), new(Int)), `"seven" is not an integer`)
	require.ErrorContains(t, json.Unmarshal([]byte(`"maybe"`), new(Bool)), `"maybe" is not a boolean`)
	require.EqualError(t, new(Int).UnmarshalJSON(nil), "no value")
	for _, broken := range []string{`"open`, `"`, "\"line\nend\"", `"a"b"`, `"\x"`} {
		require.Error(t, new(String).UnmarshalJSON([]byte(broken)), broken)
	}
}

func FuzzScalars(f *testing.F) {
	for _, text := range []string{
		`7`, `"7"`, `"100%"`, `1.7e9`, `null`, `true`, `"true"`, `""`, `{}`, `[]`, `[1]`, `{"a":null}`, `"2016-07-06T05:04:03Z"`,
		`"Wed, 06 Jul 2016 05:04:03 GMT"`, `"0000-01-01T00:00:00+01:00"`, `9223372036854775807`, `-0`, `1e999`, `"\ud800"`, `"0x1p4"`, ` 7 `, `"`, ``, `{"a":1,"a":[]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var i Int
		var s String
		var b Bool
		var at Time
		var m Map[String]
		// Directly, as encoding/json never would.
		for _, v := range []json.Unmarshaler{&i, &s, &b, &at, &m} {
			_ = v.UnmarshalJSON(data)
		}
		if !json.Valid(data) {
			return
		}
		if err := json.Unmarshal(data, &s); err == nil && utf8.Valid(data) {
			require.True(t, utf8.ValidString(string(s)))
		}
		require.NoError(t, json.Unmarshal(data, &at), "a time never fails")
		again, err := json.Marshal(at.Time)
		require.NoError(t, err)
		var back Time
		require.NoError(t, json.Unmarshal(again, &back))
		require.True(t, at.Equal(back.Time), "%s", again)

		i = 0
		if json.Unmarshal(data, &i) == nil {
			again, err := json.Marshal(int64(i))
			require.NoError(t, err)
			var back Int
			require.NoError(t, json.Unmarshal(again, &back))
			require.Equal(t, i, back)
		}
		m = nil
		if json.Unmarshal(data, &m) == nil {
			again, err := json.Marshal(m)
			require.NoError(t, err)
			var back Map[String]
			require.NoError(t, json.Unmarshal(again, &back))
			require.Len(t, back, len(m))
		}
	})
}
