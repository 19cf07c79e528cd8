package main

import (
	"reflect"
	"testing"

	theirs "golang.org/x/sync/semaphore"

	ours "github.com/seed-3d5fec5c/baton/semaphore"
)

// TestWeightedMethods checks that baton's Weighted has every method of x/sync's Weighted, with the
// same signature. It is here so that x/sync does not become a dependency of baton.
func TestWeightedMethods(t *testing.T) {
	a, b := reflect.TypeFor[*ours.Weighted](), reflect.TypeFor[*theirs.Weighted]()
	if b.NumMethod() == 0 {
		t.Error("x/sync's Weighted has no methods")
	}
	for i := range b.NumMethod() {
		name := b.Method(i).Name
		want := reflect.Zero(b).Method(i).Type()
		if got := reflect.Zero(a).MethodByName(name); !got.IsValid() || got.Type() != want {
			t.Errorf("Weighted has no %s %v", name, want)
		}
	}
}
