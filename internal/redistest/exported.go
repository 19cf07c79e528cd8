package redistest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var exportedFunc = regexp.MustCompile(`(?m)^func (?:\((?:\w+ )?\*?([A-Z]\w*)\) )?([A-Z]\w*)[(\[]`)

// CoversExported fails the test unless a table has exactly one row for each exported function and
// method of the package in dir, named "New" or "Mutex.Lock".
func CoversExported[Row any](tb testing.TB, dir string, rows map[string]Row) {
	tb.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.go")) // the pattern is valid
	var all []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		must(err)
		for _, m := range exportedFunc.FindAllStringSubmatch(string(text), -1) {
			all = append(all, strings.TrimPrefix(m[1]+"."+m[2], "."))
		}
	}
	if len(all) == 0 {
		tb.Errorf("%s exports nothing", dir)
	}
	for _, name := range all {
		if _, ok := rows[name]; !ok {
			tb.Errorf("%s has no row", name)
		}
	}
	for name := range rows {
		if !slices.Contains(all, name) {
			tb.Errorf("there is a row for %s, which is not exported", name)
		}
	}
}
