package docs

import (
	"go/ast"
	"go/token"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestCounts compares the numbers of faults and mutants in the pages with the source. The pages have
// numbers that are rounded down.
func TestCounts(t *testing.T) {
	for what, want := range map[string]int{
		"faults":  elements(t, "internal/matrix", "row"),
		"mutants": elements(t, "internal/mutants", "mutant"),
	} {
		found := regexp.MustCompile(`(\d+) `+what+`\b`).FindAllStringSubmatch(prose(t), -1)
		if len(found) == 0 {
			t.Errorf("no page has the number of %s", what)
		}
		for _, m := range found {
			if n, _ := strconv.Atoi(m[1]); want < n || want >= n+50 {
				t.Errorf("a page has %s, the source %d", m[0], want)
			}
		}
	}
}

// elements returns the number of elements in all slices of a type in a package.
func elements(t *testing.T, dir, typ string) (n int) {
	t.Helper()
	for _, file := range files(dir + "/*.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(parse(t, token.NewFileSet(), file), func(node ast.Node) bool {
			if c, ok := node.(*ast.CompositeLit); ok {
				if a, ok := c.Type.(*ast.ArrayType); ok {
					if id, ok := a.Elt.(*ast.Ident); ok && id.Name == typ {
						n += len(c.Elts)
					}
				}
			}
			return true
		})
	}
	return n
}

// TestFigures checks that the figures of the README are on the page of the benchmark, and that their
// ratios are correct.
func TestFigures(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "README.md"), "\n## Speed\n")
	section, _, _ = strings.Cut(section, "\n## ")
	number := `([\d,]+(?:\.\d+)?)`
	rows := regexp.MustCompile(`(?m)^\| .* \| `+number+`(/s| µs| ms) \| `+number+`(/s| µs| ms) \(.*\) \| `+number+` \|$`).FindAllStringSubmatch(section, -1)
	if len(rows) < 5 || len(rows) != strings.Count(section, "\n| ")-1 { // the header
		t.Fatalf("the README has %d rows of figures", len(rows))
	}
	bench := read(t, "internal/bench/README.md")
	value := func(text string) float64 {
		x, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, m := range rows {
		for _, figure := range []string{m[1], m[3]} {
			if !strings.Contains(bench, "| "+figure+" |") {
				t.Errorf("internal/bench/README.md does not contain %s%s", figure, m[2])
			}
		}
		ratio := value(m[1]) / value(m[3])
		if m[2] != "/s" { // a time
			ratio = 1 / ratio
		}
		if m[2] != m[4] || math.Abs(value(m[5])/ratio-1) > 0.05 {
			t.Errorf("%s: the ratio is %.3g", m[0], ratio)
		}
	}
}
