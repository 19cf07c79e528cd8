package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestJournal: what was written is read as it was, though an event come in two pieces.
func TestJournal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	first := event{What: answered, Result: abandoned, Key: 3, Worker: 2, N: -5, Hold: 1 << 50, T: 1 << 60, Fence: 1<<62 + 1}
	second := event{What: asked, N: wait, T: 7}
	b := second.append(first.append(nil))
	var got []event
	j := &eventLog{file: in}
	for _, piece := range [][]byte{b[:eventSize+5], b[eventSize+5:]} {
		if _, err := out.Write(piece); err != nil {
			t.Fatal(err)
		}
		if err := j.read(func(e event) { got = append(got, e) }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []event{first, second}) {
		t.Errorf("read %+v", got)
	}
}
