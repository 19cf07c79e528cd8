package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

const root = "../.."

var packages = []string{"mutex", "semaphore", "waitgroup"}

// read returns the text of a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readAll returns the texts of all files of a directory that match the pattern.
func readAll(t *testing.T, dir, pattern string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files(t, dir, pattern) {
		all.WriteString(read(t, file))
	}
	return all.String()
}

// files returns the paths from the root of the files in a directory that match the pattern.
func files(t *testing.T, dir, pattern string) (all []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		all = append(all, path.Join(dir, filepath.Base(file)))
	}
	return all
}

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{root}, path...)...))
	return err == nil
}

// A page is the README, or another page that it links to.
type page struct{ path, text string }

// pages returns all pages, the README first.
func pages(t *testing.T) (all []page) {
	t.Helper()
	for _, file := range append([]string{"README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"}, files(t, "internal/docs", "*.md")...) {
		all = append(all, page{file, read(t, file)})
	}
	return all
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// prose returns the page without its code blocks.
func (p page) prose() string { return fence.ReplaceAllString(p.text, "") }

// blocks returns the code blocks of all pages in a language.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	for _, p := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
			if m[1] == language {
				all = append(all, m[2])
			}
		}
	}
	return all
}

// prose returns all pages without their code blocks.
func prose(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, p := range pages(t) {
		all.WriteString(p.prose())
	}
	return all.String()
}
