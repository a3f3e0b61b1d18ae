package clitest

import (
	"os"
	"path/filepath"
	"strings"
)

// Golden returns the content of a file in testdata. With UPDATE_GOLDEN set it
// first replaces it by got.
func Golden(name, got string) (want string, err error) {
	name = filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			return "", err
		}
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			return "", err
		}
	}
	data, err := os.ReadFile(name)
	return string(data), err
}

// Repeated returns the lines that the text has more than once.
func Repeated(text string) (lines []string) {
	times := map[string]int{}
	for line := range strings.Lines(text) {
		times[line]++
		if times[line] == 2 {
			lines = append(lines, line)
		}
	}
	return lines
}
