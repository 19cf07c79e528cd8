package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// own is a row: goroutines of one process lock a key each, which nobody else wants.
type own struct {
	name       string
	goroutines int
	cluster    bool
	lingers    float64 // × floor, at least, of the system that lingers; 0 if it is not in this row
	results    results
}

func newOwn(name, shape string) (row, error) {
	if number, found := strings.CutSuffix(shape, "-latency"); found {
		return newLatency(name, number)
	}
	n, err := size(shape, 64)
	return &own{name: name, goroutines: n, results: results{}}, err
}

func (r *own) round(ctx context.Context, b *bench, n int) error {
	list := b.having(system.ownsKeys)
	if r.lingers > 0 {
		list = b.having(func(s system) bool { return s.lingers || s.name == "floor" || s.name == "baton" })
	} else if !r.cluster {
		list = append(list, batching()...)
	}
	for _, sys := range rotated(list, n) {
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys)); err != nil {
			return err
		}
	}
	return nil
}

func (r *own) measure(ctx context.Context, b *bench, sys system) error {
	j := job{Task: "own", System: sys.name, Key: "own", Goroutines: r.goroutines, Duration: b.duration}
	t, err := b.try(ctx, 1, j)
	if err != nil {
		return err
	}
	r.results.of(sys.name).add(t, b.duration, sys)
	return nil
}

func (r *own) report(b *bench) []table {
	t := table{
		title: fmt.Sprintf("%s: 1 process of %d goroutines, a key each; lock and unlock", r.name, r.goroutines),
		head: []string{"system", "holds/s", "min–max", "× floor", "p50 µs", "p99 µs", "min–max",
			"requests/hold", "server µs/hold", "client µs/hold"},
	}
	for _, sys := range slices.Concat(b.systems, baselines) {
		x := r.results[sys.name]
		if x == nil {
			continue
		}
		t.add(sys.name, x.rate.cell(), x.rate.spread(), x.rate.over(r.results.rate("floor")).cell(), x.p50.cell(), x.p99.cell(),
			x.p99.spread(), x.requests.cell(), x.cpu.cell(), x.client.cell())
		if x.failed > 0 {
			t.notes = append(t.notes, fmt.Sprintf("%s: %d calls failed: %s", sys.name, x.failed, x.why))
		}
	}
	return []table{t}
}

func (r *own) targets(*bench) (list []target) {
	add := func(what string, limit float64) {
		list = append(list, target{row: r.name, what: "holds/s, × those of " + what,
			got: r.results.rate("baton").over(r.results.rate(what)), limit: limit, least: true})
	}
	if x := r.results[lingerName]; x != nil {
		list = append(list, target{row: r.name, what: "with Linger: holds/s, × those of floor", got: x.rate.over(r.results.rate("floor")), limit: r.lingers, least: true},
			target{row: r.name, what: "with Linger: requests a hold", got: x.requests, limit: 0.01})
	} else if r.cluster {
		add("floor", 1.3)
	} else if r.goroutines == 64 { // one of the two is enough
		add("rueidislock-1", 1.2)
		add("pipeline", 0.95)
	}
	return list
}
