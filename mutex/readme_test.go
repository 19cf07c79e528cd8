package mutex_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadme finds each program of the README in the compiled examples, line by
// line, so that what it shows is what runs.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 2 {
		t.Fatalf("the README has %d programs", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(flat(string(examples)), flat(b[1])) {
			t.Errorf("no example has these lines:\n%s", b[1])
		}
	}
}

// flat is the text without indentation and blank lines.
func flat(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
