// Package singleflight has the Group of golang.org/x/sync/singleflight. Its zero value is
// ready to use: the first call creates a key.
package singleflight

import (
	"context"
	"sync"

	"github.com/seed-3d5fec5c/baton/internal/dropin"
	"github.com/seed-3d5fec5c/baton/mutex"
)

type Result struct {
	Val    any
	Err    error
	Shared bool
}

// Group stores names of values, because a value may be of any type.
type Group struct {
	once   sync.Once
	flight *mutex.Flight
	values sync.Map
}

func (g *Group) get() *mutex.Flight {
	g.once.Do(func() { g.flight = mutex.NewFlight(dropin.Client(), dropin.NewKey()) })
	return g.flight
}

func (g *Group) named(fn func() (any, error)) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		v, err := fn()
		name := dropin.NewKey()
		g.values.Store(name, v)
		return []byte(name), err
	}
}

func (g *Group) value(name []byte) any {
	v, _ := g.values.Load(string(name))
	return v
}

func (g *Group) Do(key string, fn func() (any, error)) (v any, err error, shared bool) { //nolint:revive // as in x/sync
	b, shared, err := g.get().Do(context.Background(), key, g.named(fn))
	return g.value(b), err, shared
}

func (g *Group) DoChan(key string, fn func() (any, error)) <-chan Result {
	ch := make(chan Result, 1)
	results := g.get().DoChan(context.Background(), key, g.named(fn))
	go func() {
		r := <-results
		ch <- Result{g.value(r.Val), r.Err, r.Shared}
	}()
	return ch
}

func (g *Group) Forget(key string) {
	if err := g.get().Forget(context.Background(), key); err != nil {
		panic(err)
	}
}

// TestPanicErrorUnwrap, which is compiled with this file, panics with values of this type.
//
//lint:ignore U1000 see above
type panicError struct{ value any }
