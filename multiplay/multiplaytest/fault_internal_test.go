package multiplaytest

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/imagejobs/imagejobs-go/internal/emulator"
)

// A Fault is copied to the emulator's field by field; none may be forgotten.
func TestFaultIsCopiedWhole(t *testing.T) {
	var fault Fault
	from := reflect.ValueOf(&fault).Elem()
	for i := range from.NumField() {
		switch field := from.Field(i); field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(i + 1))
		case reflect.Map:
			field.Set(reflect.ValueOf(http.Header{"X": {"x"}}))
		case reflect.Func:
			field.Set(reflect.ValueOf(func(*http.Request) bool { return true }))
		default:
			t.Fatalf("%s is of a new kind", from.Type().Field(i).Name)
		}
	}
	to := reflect.ValueOf(fault.emulated())
	for i := range from.NumField() {
		name := from.Type().Field(i).Name
		if from.Field(i).Kind() == reflect.Func {
			require.False(t, to.FieldByName(name).IsNil(), name)
			continue
		}
		require.EqualValues(t, from.Field(i).Interface(), to.FieldByName(name).Interface(), name)
	}
}

func TestPointsAreTheEmulators(t *testing.T) {
	require.EqualValues(t, emulator.DropBefore, DropBefore)
	require.EqualValues(t, emulator.DropDuring, DropDuring)
	require.EqualValues(t, emulator.DropAfter, DropAfter)
	require.EqualValues(t, emulator.StallRequestBody, StallRequestBody)
	require.EqualValues(t, emulator.StallResponse, StallResponse)
	require.EqualValues(t, emulator.StallResponseBody, StallResponseBody)
}
