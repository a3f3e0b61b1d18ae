package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, as a flag 64MiB or 67108864.
type Size int64

var units = []struct {
	name string
	size float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}, {"", 1},
}

// Set implements flag.Value.
func (s *Size) Set(text string) error {
	for _, unit := range units {
		number, found := cutSuffixFold(strings.TrimSpace(text), unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		size := n * unit.size
		if err != nil || size < 1 || size > math.MaxInt64/2 || size != math.Trunc(size) {
			break
		}
		*s = Size(size)
		return nil
	}
	return fmt.Errorf("must be a positive size such as 64MiB, not %q", text)
}

func cutSuffixFold(text, suffix string) (string, bool) {
	cut := len(text) - len(suffix)
	if cut < 0 || !strings.EqualFold(text[cut:], suffix) {
		return "", false
	}
	return text[:cut], true
}

// String returns the size as Set reads it, without loss.
func (s *Size) String() string {
	for _, unit := range units[:4] {
		if n := int64(unit.size); *s != 0 && int64(*s)%n == 0 {
			return strconv.FormatInt(int64(*s)/n, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(*s), 10) + "B"
}

// FormatSize returns a number of bytes for people, rounded.
func FormatSize(n int64) string {
	for _, unit := range units[:4] {
		if size := int64(unit.size); n >= size {
			return fmt.Sprintf("%.1f %s", float64(n)/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
