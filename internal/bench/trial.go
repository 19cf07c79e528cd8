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
func (b *bench) try(ctx context.Context, n int, j job) (*trial, error) {
	if err := b.server.flush(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	j.Addr, j.SharedMem = cmp.Or(j.Addr, b.server.Addr()), filepath.Join(dir, "arena")
	a, unmap, err := openSharedMem(j.SharedMem)
	if err != nil {
		return nil, err
	}
	defer unmap()
	f, err := startFleet(ctx, n, j)
	if err != nil {
		return nil, err
	}
	defer f.end()
	before, err := b.server.count(ctx)
	if err != nil {
		return nil, err
	}
	all, err := f.run()
	if err != nil {
		return nil, err
	}
	after, err := b.server.count(ctx)
	return &trial{all, after.since(before), a.clashes.Load(), a.total}, err
}
