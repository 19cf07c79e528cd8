package main

import (
	"testing"
)

// TestJournal: what a pen has written is read as it was, in whatever pieces it comes.
func TestJournal(t *testing.T) {
	want := event{What: answered, Result: abandoned, Key: 3, Worker: 2, N: -5, Hold: 1 << 50, T: 1 << 60, Fence: 1<<62 + 1}
	if got := newEvent(want.append(nil)); got != want {
		t.Errorf("%+v was read as %+v", want, got)
	}
}
