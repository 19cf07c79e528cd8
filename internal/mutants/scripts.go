package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// To build a test takes far longer than to run it. A script need not be built in:
// the tests of all mutants of scripts are one program, which reads the scripts from
// a directory.
const (
	loader  = "internal/redisstore/script.go"
	library = "internal/redisstore"
	scripts = "MUTANT_SCRIPTS" // names the directory, in the environment of the test
)

// isScript reports whether the mistake is in a script.
func (m mutant) isScript() bool { return filepath.Ext(m.file) == ".lua" }

// fromDisk returns the text of the loader as it has to be for that.
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
			return nil, fmt.Errorf("%s does not embed the scripts as it did", loader)
		}
		text = []byte(strings.Replace(string(text), edit[0], edit[1], 1))
	}
	return text, nil
}

// scriptsDir is where the tests on a bench read the scripts.
func (b *bench) scriptsDir() string { return filepath.Join(b.dir, "scripts") }

// copyScripts copies the library, as it is, to where the tests read the scripts.
func (b *bench) copyScripts() error {
	return errors.Join(os.RemoveAll(b.scriptsDir()), os.CopyFS(b.scriptsDir(), os.DirFS(filepath.Join(b.root, library))))
}
