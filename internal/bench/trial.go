package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
)

// A trial is one measurement: what the workers tell, what their memory shows,
// and what the server has counted meanwhile.
type trial struct {
	*tally
	count
	clashes int64
	total   int64 // holds, by the arena
}

// try has n workers do the job once, on an empty server.
func (b *bench) try(ctx context.Context, n int, j job) (t *trial, err error) {
	err = b.staff(ctx, n, j, func(f *fleet, a *sharedMem) error {
		before, err := b.server.count(ctx)
		if err != nil {
			return err
		}
		all, err := f.run()
		if err != nil {
			return err
		}
		after, err := b.server.count(ctx)
		if err != nil {
			return err
		}
		t = &trial{all, after.since(before), a.clashes.Load(), a.total}
		return nil
	})
	return t, err
}

// staff empties the server and starts n workers for the job; it ends them when
// do has returned.
func (b *bench) staff(ctx context.Context, n int, j job, do func(*fleet, *sharedMem) error) error {
	if err := b.server.flush(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	j.Addr, j.SharedMem = cmp.Or(j.Addr, b.server.Addr()), filepath.Join(dir, "arena")
	a, unmap, err := openSharedMem(j.SharedMem)
	if err != nil {
		return err
	}
	defer unmap()
	f, err := startFleet(ctx, n, j)
	if err != nil {
		return err
	}
	defer f.end()
	return do(f, a)
}
