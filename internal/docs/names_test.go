package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestLinks checks the links of all pages into this repository.
func TestLinks(t *testing.T) {
	n := 0
	for _, p := range pages(t) {
		for _, m := range regexp.MustCompile(`(?:\]\(|src="|href="|srcset=")([^)"\s]+)`).FindAllStringSubmatch(p.prose(), -1) {
			n++
			if strings.HasPrefix(m[1], "https://") {
				continue
			}
			link, heading, _ := strings.Cut(m[1], "#")
			target := p.path
			if link != "" {
				target = path.Join(path.Dir(p.path), link)
			}
			if !exists(target) {
				t.Errorf("%s: there is no %s", p.path, link)
			} else if heading != "" && !anchors(read(t, target))[heading] {
				t.Errorf("%s: %s has no heading %s", p.path, target, heading)
			}
		}
	}
	if n < 40 {
		t.Errorf("the pages have %d links", n)
	}
}

// anchors returns the link anchors of a page's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		kept := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(kept, " ", "-")] = true
	}
	return all
}

// TestNames checks that tests and public names in the pages exist.
func TestNames(t *testing.T) {
	n := 0
	for _, m := range regexp.MustCompile("`([a-z]+)\\.(Test\\w+)").FindAllStringSubmatch(prose(t), -1) {
		n++
		found := false
		for _, dir := range []string{".", "internal", "internal/matrix", "examples"} {
			found = found || regexp.MustCompile(`(?m)^func `+m[2]+`\w*\(`).MatchString(readAll(t, path.Join(dir, m[1], "*_test.go")))
		}
		if !found {
			t.Errorf("there is no test %s.%s", m[1], m[2])
		}
	}
	if n < 5 {
		t.Errorf("the pages have names of %d tests", n)
	}
	for _, p := range packages {
		source := readAll(t, p+"/*.go")
		for _, m := range regexp.MustCompile("`[^`\n]*\\b"+p+`\.([A-Z]\w*)`).FindAllStringSubmatch(prose(t), -1) {
			if strings.HasPrefix(m[1], "Test") {
				continue
			}
			if !regexp.MustCompile(`(?m)^\s*(?:func|type)?\s*(?:\([^)]*\) )?` + m[1] + `\b`).MatchString(source) {
				t.Errorf("there is no %s.%s", p, m[1])
			}
		}
	}
}

// TestLength limits the length of the README, the protocol and the short examples.
func TestLength(t *testing.T) {
	check := func(file string, lines, columns int) {
		t.Helper()
		n := 0
		for line := range strings.Lines(read(t, file)) {
			if n++; len([]rune(strings.TrimSuffix(line, "\n"))) > columns {
				t.Errorf("%s:%d has more than %d columns", file, n, columns)
			}
		}
		if n > lines {
			t.Errorf("%s has %d lines, want at most %d", file, n, lines)
		}
	}
	check("README.md", 240, 160)
	check("internal/PROTOCOL.md", 300, 180)
	for _, example := range []string{"selectlock", "workerpool", "keyed", "fanout", "failover", "migrate", "pricecache"} {
		check("examples/"+example+"/main.go", 80, 160)
	}
}

// TestFileMaps compares the file lists of package comments with the files, and with the functions and
// types listed there.
func TestFileMaps(t *testing.T) {
	for dir, comment := range map[string]string{"internal/client": "doc.go", "internal/lease": "doc.go", "internal/taskgroup": "doc.go", "internal/redisstore": "store.go"} {
		text, listed := read(t, dir+"/"+comment), map[string]bool{comment: true}
		for _, m := range regexp.MustCompile(`(?m)^//\t(\w+\.go) +(?:([\w, .]+):)?`).FindAllStringSubmatch(text, -1) {
			if listed[m[1]] = true; !exists(dir + "/" + m[1]) {
				t.Errorf("%s/%s lists %s, which does not exist", dir, comment, m[1])
				continue
			}
			for name := range strings.SplitSeq(m[2], ", ") {
				name = name[strings.LastIndex(name, ".")+1:]
				if !regexp.MustCompile(`(?m)^(?:func|type) (?:\([^)]*\) )?` + name + `\b`).MatchString(read(t, dir+"/"+m[1])) {
					t.Errorf("%s/%s has no %s", dir, m[1], name)
				}
			}
		}
		for _, file := range files(dir + "/*.go") {
			if name := path.Base(file); !strings.HasSuffix(name, "_test.go") && !listed[name] {
				t.Errorf("%s/%s does not list %s", dir, comment, name)
			}
		}
	}
}
