package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// terms is for how many TTLs locks are held.
const terms = 2

// renew is a row: one process holds many locks for a few TTLs.
type renew struct {
	name    string
	locks   int
	ttl     time.Duration
	results map[string]*renewResult
}

type renewResult struct {
	commands series // per lock and TTL
	batch    series // commands per read from a socket
	client   series // % of a core
	server   series
	lost     int
}

func newRenew(name, shape string) (row, error) {
	locks, ttl, _ := strings.Cut(shape, "-")
	n, err := size(locks, 10_000)
	if err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(cmp.Or(ttl, TTL.String()))
	return &renew{name, n, d, map[string]*renewResult{}}, err
}

func (r *renew) round(ctx context.Context, b *bench, n int) error {
	for _, sys := range rotated(b.having(r.fits), n) {
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys)); err != nil {
			return err
		}
	}
	return nil
}

// fits leaves out what does not renew, and the second of our dialects, which
// renews as the first does.
func (r *renew) fits(s system) bool { return s.contends() && s.renews && s.name != "baton-sync" }

func (r *renew) measure(ctx context.Context, b *bench, sys system) error {
	j := job{Task: "hold", System: sys.name, Key: "renew", Keys: r.locks, TTL: r.ttl, Duration: terms * r.ttl}
	t, err := b.try(ctx, 1, j)
	if err != nil {
		return err
	}
	// The holder has just ended, without unlocking.
	left, err := expiries(ctx, b.server.admin, sys, j.Key, j.Keys)
	if err != nil {
		return err
	}
	commands, seconds := float64(t.requests(sys)), j.Duration.Seconds()
	x := &renewResult{
		commands: series{commands / float64(r.locks) / terms},
		batch:    series{commands / float64(max(t.reads, 1))},
		client:   series{100 * t.CPU.Seconds() / seconds},
		server:   series{100 * t.cpu.Seconds() / seconds},
	}
	for _, d := range left {
		if d <= 0 {
			x.lost++
		}
	}
	r.results[sys.name] = x
	return nil
}

// expiries says for how long each of the locks is still held in Redis; not at
// all is 0 or less.
func expiries(ctx context.Context, rdb redis.UniversalClient, sys system, key string, n int) ([]time.Duration, error) {
	left := make([]time.Duration, n)
	pipe := rdb.Pipeline()
	asked := make([][]*redis.DurationCmd, n)
	for i := range n {
		for _, k := range sys.keysOf(keyOf(key, i)) {
			asked[i] = append(asked[i], pipe.PTTL(ctx, k))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for i := range n {
		var s []time.Duration
		for _, cmd := range asked[i] {
			s = append(s, cmd.Val())
		}
		left[i] = middle(s)
	}
	return left, nil
}

func (r *renew) report(b *bench) []table {
	t := table{
		title: fmt.Sprintf("%s: 1 process holds %d locks for %d TTLs of %v", r.name, r.locks, terms, r.ttl),
		head:  []string{"system", "commands per lock and TTL", "commands per read of the server", "client, % of a core", "server, % of a core", "locks lost"},
	}
	var others []string
	for _, sys := range b.systems {
		if x := r.results[sys.name]; x != nil {
			t.add(sys.name, x.commands.cell(), x.batch.cell(), x.client.cell(), x.server.cell(), fmt.Sprint(x.lost))
		} else if sys.contends() && !sys.renews {
			others = append(others, sys.name)
		}
	}
	if len(others) > 0 {
		t.notes = append(t.notes, "not measured, as a hold of theirs is not renewed unless the caller does it: "+strings.Join(others, ", "))
	}
	return []table{t}
}

func (r *renew) targets(*bench) []target {
	x := cmp.Or(r.results["baton"], new(renewResult))
	return []target{
		{row: r.name, what: "commands per lock and TTL", got: x.commands, limit: 3},
		{row: r.name, what: "commands per read of the server, as they come in pipelines", got: x.batch, limit: 10, least: true},
		{row: r.name, what: "CPU of the client, % of a core", got: x.client, limit: 3},
	}
}
