package main

import (
	"context"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// both returns a Trace that calls the hooks of a and of b.
func both(a, b *mutex.Trace) *mutex.Trace {
	return &mutex.Trace{
		Waiting:    one(a.Waiting, b.Waiting),
		Acquired:   one(a.Acquired, b.Acquired),
		Failed:     one(a.Failed, b.Failed),
		Renewed:    one(a.Renewed, b.Renewed),
		Lost:       one(a.Lost, b.Lost),
		Released:   one(a.Released, b.Released),
		RedisError: one(a.RedisError, b.RedisError),
	}
}

// one returns a hook that calls f and g, either of which may be nil.
func one[Info any](f, g func(context.Context, Info)) func(context.Context, Info) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(ctx context.Context, i Info) {
		f(ctx, i)
		g(ctx, i)
	}
}
