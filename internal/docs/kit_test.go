package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

var root = os.DirFS("../..")

var packages = []string{"mutex", "semaphore", "waitgroup"}

// read returns the text of a file of the repository.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := fs.ReadFile(root, file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files returns the files that match the pattern.
func files(pattern string) []string {
	all, _ := fs.Glob(root, path.Clean(pattern)) // the patterns are valid
	return all
}

// readAll returns the texts of all files that match the patterns.
func readAll(t *testing.T, patterns ...string) (all string) {
	t.Helper()
	for _, pattern := range patterns {
		for _, file := range files(pattern) {
			all += read(t, file)
		}
	}
	return all
}

func parse(t *testing.T, fset *token.FileSet, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(fset, file, read(t, file), parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func exists(file string) bool {
	_, err := fs.Stat(root, path.Clean(file))
	return err == nil
}

// A page is the README, or another page that it links to.
type page struct{ path, text string }

// pages returns all pages, the README first.
func pages(t *testing.T) (all []page) {
	t.Helper()
	for _, file := range append([]string{"README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"}, files("internal/docs/*.md")...) {
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
func prose(t *testing.T) (all string) {
	t.Helper()
	for _, p := range pages(t) {
		all += p.prose()
	}
	return all
}
