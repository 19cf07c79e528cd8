package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Building a test takes far longer than running it. So the tests of all mutants of scripts
// are one test binary, which reads the scripts from a directory.
const (
	loader  = "internal/redisstore/script.go"
	library = "internal/redisstore"
	scripts = "MUTANT_SCRIPTS" // environment variable with the directory
)

// isScript reports whether the mistake is in a script.
func (m mutant) isScript() bool { return filepath.Ext(m.file) == ".lua" }

// fromDisk returns the content of the loader, changed to read the scripts from the directory.
func fromDisk(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, loader))
	if err != nil {
		return nil, err
	}
	for _, edit := range [][2]string{
		{"\t\"embed\"\n", "\t\"io/fs\"\n\t\"os\"\n"},
		{"//go:embed *.lua lib/*.lua\nvar files embed.FS\n", "var files = os.DirFS(os.Getenv(\"" + scripts + "\")).(interface {\n\tfs.ReadFileFS\n\tfs.ReadDirFS\n})\n"},
	} {
		if strings.Count(string(text), edit[0]) != 1 {
			return nil, fmt.Errorf("%s does not embed the scripts as expected", loader)
		}
		text = []byte(strings.Replace(string(text), edit[0], edit[1], 1))
	}
	return text, nil
}

// scriptsDir returns the directory from which the worker's tests read the scripts.
func (w *worker) scriptsDir() string { return filepath.Join(w.dir, "scripts") }

// copyScripts copies the unchanged scripts to the worker's directory.
func (w *worker) copyScripts() error {
	return errors.Join(os.RemoveAll(w.scriptsDir()), os.CopyFS(w.scriptsDir(), os.DirFS(filepath.Join(w.root, library))))
}
