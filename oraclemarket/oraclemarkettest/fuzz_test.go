package oraclemarkettest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(`{"application": "My_Machine_Image","version":"1.0","operatingSystem":"linux","overwriteStorageFile":true}`))
	f.Add([]byte(`{"application":"documentmanager","version":"OL67","operatingSystem":"Windows"}`))
	f.Add([]byte(`{"application":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := parseSpec(text)
		if err != nil {
			var refused *failure
			require.ErrorAs(t, err, &refused)
			return
		}
		require.True(t, json.Valid(text))
		require.NotEmpty(t, parsed.Application)
		require.NotEmpty(t, parsed.Version)
		require.NotEmpty(t, parsed.OperatingSystem)
	})
}

func FuzzAssemble(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint8(3), false)
	f.Add([]byte{0, 1}, uint8(2), false)
	f.Add([]byte{2, 3}, uint8(3), true)
	f.Add([]byte{}, uint8(0), false)
	f.Fuzz(func(t *testing.T, numbers []byte, announced uint8, first bool) {
		chunks := map[int]*blob{}
		for _, number := range numbers {
			chunks[int(number)] = &blob{size: int64(number)}
		}
		if first {
			chunks[unnumbered] = &blob{size: -1}
		}
		order, err := assemble(chunks, int(announced), -1)
		if err != nil {
			require.NotEmpty(t, ranges(chunks))
			return
		}
		require.Len(t, order, len(chunks), "no chunk is left out")
		for i := 1; i+1 < len(order); i++ {
			require.Equal(t, order[i].size+1, order[i+1].size, numbers)
		}
	})
}

func FuzzAcceptsJSON(f *testing.F) {
	for _, accept := range []string{"", "*/*", "application/json;q=0", "application/xml,application/json;qs=1", ";;,"} {
		f.Add(accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		require.True(t, acceptsJSON([]string{accept, "application/json"}))
	})
}
