package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestJournal: what was written is read as it was, though an event come in two pieces.
func TestJournal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal")
	out := must(os.Create(name))
	defer out.Close()
	in := must(os.Open(name))
	defer in.Close()
	first := event{What: answered, Result: abandoned, Key: 3, Worker: 2, N: -5, Hold: 1 << 50, T: 1 << 60, Fence: 1<<62 + 1}
	second := event{What: asked, N: wait, T: 7}
	b := must(binary.Append(nil, binary.LittleEndian, []event{first, second}))
	var got []event
	j := &eventLog{file: in}
	for _, piece := range [][]byte{b[:eventSize+5], b[eventSize+5:]} {
		if _, err := out.Write(piece); err != nil {
			t.Fatal(err)
		}
		j.read(func(e event) { got = append(got, e) })
	}
	if !slices.Equal(got, []event{first, second}) {
		t.Errorf("read %+v", got)
	}
}
