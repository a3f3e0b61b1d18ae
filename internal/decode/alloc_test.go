//go:build !race

package decode_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/decode"
)

// requireAllocs decodes a status as a program does that asks for it again and
// again. The race detector empties the library's pools now and then, and so is
// left out.
func requireAllocs[T any](t *testing.T, d *decode.Decoder, path string, most float64) {
	t.Helper()
	data := fixture(t, path)
	var err error
	allocs := testing.AllocsPerRun(200, func() { err = d.Unmarshal(data, new(T)) })
	require.NoError(t, err)
	require.LessOrEqual(t, allocs, most, path)
}

func TestAllocations(t *testing.T) {
	states := decode.Enum(canonical)
	requireAllocs[uploadRequest](t, decode.New(states), "oraclemarket/testdata/status.json", 3)
	requireAllocs[copyJob](t, decode.New(states, decode.SpacesInNames()), "imagereplicator/testdata/job_execution_example.json", 3)
	requireAllocs[updateStatus](t, decode.New(states, decode.TextOfAnything()), "multiplay/testdata/update_status.json", 3)
}
