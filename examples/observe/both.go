package main

import "context"

// hooks has the fields of a Trace of any package, so each of them converts to it.
type hooks[E any] struct {
	Waiting, Acquired, Failed, Renewed, Lost, Released, RedisError func(context.Context, E)
}

// both returns hooks that call the hooks of a and of b.
func both[E any](a, b *hooks[E]) *hooks[E] {
	return &hooks[E]{
		Waiting:    one(a.Waiting, b.Waiting),
		Acquired:   one(a.Acquired, b.Acquired),
		Failed:     one(a.Failed, b.Failed),
		Renewed:    one(a.Renewed, b.Renewed),
		Lost:       one(a.Lost, b.Lost),
		Released:   one(a.Released, b.Released),
		RedisError: one(a.RedisError, b.RedisError),
	}
}

// one returns a hook that calls f and g. Each may be nil.
func one[E any](f, g func(context.Context, E)) func(context.Context, E) {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func(ctx context.Context, e E) {
		f(ctx, e)
		g(ctx, e)
	}
}
