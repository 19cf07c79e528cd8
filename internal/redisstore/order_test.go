package redisstore

import (
	"fmt"
	"testing"
)

func TestLockOrder(t *testing.T) {
	got := LockOrder([]string{"c", "{b}2", "a", "b", "c", "{b}1", "a"})
	for i, key := range got[1:] {
		if before := got[i]; slot(before) > slot(key) || slot(before) == slot(key) && before >= key {
			t.Errorf("%q comes before %q", before, key)
		}
	}
	equal(t, "number", len(got), 5)
	equal(t, "the order of another list", fmt.Sprint(LockOrder([]string{"{b}1", "{b}2", "c", "b", "a"})), fmt.Sprint(got))
}
