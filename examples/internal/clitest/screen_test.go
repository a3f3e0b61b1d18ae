package clitest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScreen(t *testing.T) {
	for name, test := range map[string]struct {
		text, want string
		wrapped    []string
	}{
		"lines":                {"a\r\nb\r\n", "a\nb\n", nil},
		"full line":            {"abcde\r\nf", "abcde\nf\n", nil},
		"wrapped":              {"abcdef\r\n", "abcde\nf\n", []string{"abcde"}},
		"up keeps the column":  {"a\r\nbc\x1b[1Ad", "a d\nbc\n", nil},
		"up and erase":         {"a\r\nb\r\n\x1b[2A\x1b[Jc", "c\n", nil},
		"not beyond the top":   {"a\r\nb\r\nc\r\nd\x1b[9A\re", "a\ne\nc\nd\n", nil},
		"erase line":           {"abc\r\x1b[Kd", "d\n", nil},
		"back":                 {"ab\bc", "ac\n", nil},
		"colors are left out":  {"\x1b[31ma\x1b[0mb", "ab\n", nil},
		"private ones as well": {"\x1b[?25la", "a\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &screen{columns: 5, height: 3}
			for _, r := range test.text {
				s.write(string(r))
			}
			require.Equal(t, test.want, s.String())
			require.Equal(t, test.wrapped, s.wrapped)
		})
	}
}

func TestRepeated(t *testing.T) {
	require.Equal(t, []string{"a\n"}, Repeated("a\nb\na\na\n"))
	require.Empty(t, Repeated("a\nb\n"))
}
