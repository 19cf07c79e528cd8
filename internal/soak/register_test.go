package main

import (
	"fmt"
	"testing"
)

func TestRegisterBites(t *testing.T) {
	access := func(r *Register, write bool, fence, plain, fenced int64) (v Values) {
		a := Access{Key: "m0", Fence: fence, Plain: plain, Fenced: fenced}
		if write {
			_ = r.Write(a, &v)
		} else {
			_ = r.Read(a, &v)
		}
		return v
	}
	// The first is overtaken by the second between its read and its write.
	for second, want := range map[int64]string{2: "", 1: "S2"} {
		r := &Register{cells: map[string]*cell{}}
		a := access(r, false, 1, 0, 0)
		b := access(r, false, second, 0, 0)
		access(r, true, second, b.Plain+1, b.Fenced+1)
		access(r, true, 1, a.Plain+1, a.Fenced+1)
		wants(t, fmt.Sprintf("the second has fence %d", second), want, r.wrong())
		if writes, updates := r.late(); second == 2 && (writes != 1 || updates != 1) {
			t.Errorf("%d writes were late, %d updates lost", writes, updates)
		}
	}
}
