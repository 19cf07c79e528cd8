package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestLinks follows the links of the README that lead to the repository itself.
func TestLinks(t *testing.T) {
	text := prose(t)
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchors["#"+anchor(m[1])] = true
	}
	links := regexp.MustCompile(`(?:\]\(|src="|href="|srcset=")([^)"\s]+)`).FindAllStringSubmatch(text, -1)
	if len(links) < 20 {
		t.Errorf("the README has %d links", len(links))
	}
	for _, m := range links {
		switch link, _, _ := strings.Cut(m[1], "#"); {
		case link == "" && !anchors[m[1]]:
			t.Errorf("there is no heading %s", m[1])
		case link == "" || strings.HasPrefix(link, "https://"):
		case !exists(link):
			t.Errorf("there is no %s", link)
		}
	}
}

// anchor is what a heading is called in a link.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// TestNames looks for the tests and the public names that the README names.
func TestNames(t *testing.T) {
	n := 0
	for _, m := range regexp.MustCompile("`([a-z]+)\\.(Test\\w+)").FindAllStringSubmatch(prose(t), -1) {
		n++
		found := false
		for _, dir := range []string{".", "internal", "examples"} {
			found = found || regexp.MustCompile(`(?m)^func `+m[2]+`\w*\(`).MatchString(readAll(t, path.Join(dir, m[1]), "*_test.go"))
		}
		if !found {
			t.Errorf("there is no test %s.%s", m[1], m[2])
		}
	}
	if n < 5 {
		t.Errorf("the README names %d tests", n)
	}
	for _, p := range packages {
		source := readAll(t, p, "*.go")
		for _, m := range regexp.MustCompile("`[^`]*\\b"+p+`\.([A-Z]\w*)`).FindAllStringSubmatch(prose(t), -1) {
			if strings.HasPrefix(m[1], "Test") {
				continue
			}
			if !regexp.MustCompile(`(?m)^\s*(?:func|type)?\s*(?:\([^)]*\) )?` + m[1] + `\b`).MatchString(source) {
				t.Errorf("there is no %s.%s", p, m[1])
			}
		}
	}
}

// TestFigures looks in the benchmark's own page for the figures that the README takes
// from there.
func TestFigures(t *testing.T) {
	_, rest, _ := strings.Cut(prose(t), "What all of that comes to in time")
	told, _, ok := strings.Cut(rest, "\n\n")
	figures := regexp.MustCompile(`\d+[.,]\d+`).FindAllString(told, -1)
	if !ok || len(figures) < 4 {
		t.Fatalf("the README tells the figures %q", figures)
	}
	page := read(t, "internal/bench/README.md")
	for _, figure := range figures {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(figure) + `\b`).MatchString(page) {
			t.Errorf("nobody has measured %s", figure)
		}
	}
}
