package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// keys is a row: each of many keys of a pool is locked and unlocked once.
type keys struct {
	name   string
	keys   int
	result *keysResult
}

type keysResult struct {
	heap, goroutines, seconds series
	redis                     series // bytes a key
	failed                    int64
	why                       string
}

func newKeys(name, shape string) (row, error) {
	n, err := size(shape, 1_000_000)
	return &keys{name, n, new(keysResult)}, err
}

func (r *keys) round(ctx context.Context, b *bench, _ int) error {
	// Duration only says for how long it may take.
	j := job{Task: "touch", Key: "account:", Keys: r.keys, Goroutines: abreast, Duration: time.Duration(r.keys) * time.Millisecond}
	return b.missed(ctx, r.name, "baton", b.staff(ctx, 1, j, func(f *fleet, _ *sharedMem) error {
		before, err := b.server.memory(ctx)
		if err != nil {
			return err
		}
		t, err := f.run()
		if err != nil {
			return err
		}
		after, err := b.server.memory(ctx)
		if err != nil {
			return err
		}
		x := r.result
		x.heap = append(x.heap, t.Figures["heap"]/1e6)
		x.goroutines = append(x.goroutines, t.Figures["goroutines"])
		x.seconds = append(x.seconds, t.Figures["seconds"])
		x.redis = append(x.redis, (after-before)/float64(r.keys))
		x.failed += t.Failed
		x.why = t.Why
		return b.server.admin.FlushDB(ctx).Err()
	}))
}

// memory is what Redis uses, in bytes.
func (s *server) memory(ctx context.Context) (float64, error) {
	info, err := s.info(ctx, "memory")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(info["used_memory"], 64)
}

func (r *keys) report(*bench) []table {
	x := r.result
	t := table{
		title: fmt.Sprintf("%s: each of %d keys is locked and unlocked once, by %d goroutines; what is left", r.name, r.keys, abreast),
		head:  []string{"system", "heap in use, MB more than before", "goroutines more", "bytes a key in Redis, for an hour", "seconds", "keys/s"},
	}
	t.add("baton", x.heap.cell(), x.goroutines.cell(), x.redis.cell(), x.seconds.cell(), number(float64(r.keys)/x.seconds.median()))
	if x.failed > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%d calls failed: %s", x.failed, x.why))
	}
	return []table{t}
}

func (r *keys) targets(*bench) []target {
	return []target{{row: r.name, what: "MB of heap in use, more than before", got: r.result.heap, limit: 10}}
}
