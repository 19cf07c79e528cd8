package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// hot is a row: all goroutines of some processes want the same key all the time.
type hot struct {
	name, title           string
	processes, goroutines int
	hold                  time.Duration
	limit                 int // how many may be inside at once
	picks                 func(system) bool
	ours                  string // the system to compare the peers with
	results               results
}

// newHot reads a shape such as 4x8 or 4x8-1ms.
func newHot(name, shape string) (row, error) {
	p, g, hold, err := held(shape, "")
	if err != nil {
		return nil, err
	}
	return &hot{
		name: name, processes: p, goroutines: g, hold: hold, limit: 1, results: results{},
		ours: "baton", picks: system.contends,
		title: fmt.Sprintf("%s: %d processes × %d goroutines on one key, held for %v", name, p, g, hold),
	}, nil
}

func (r *hot) round(ctx context.Context, b *bench, n int) error {
	for _, sys := range rotated(b.having(r.picks), n) {
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys, r.processes, r.goroutines)); err != nil {
			return err
		}
	}
	for _, sys := range rotated(baselines, n) {
		processes := 1
		switch {
		case r.limit > 1, sys.batches, sys.turns != (r.hold == 0), sys.turns && r.goroutines > 1:
			continue
		case sys.turns:
			processes = r.processes
		}
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys, processes, 1)); err != nil {
			return err
		}
	}
	return nil
}

// measure has the system's workers contend once.
func (r *hot) measure(ctx context.Context, b *bench, sys system, processes, goroutines int) error {
	t, err := b.try(ctx, processes, job{
		Task: "contend", System: sys.name, Key: "hot", Limit: r.limit,
		Goroutines: goroutines, Hold: r.hold, Duration: b.duration,
	})
	if err != nil {
		return err
	}
	x := r.results.of(sys.name)
	x.add(t, b.duration, sys)
	if r.limit == 1 && t.total != t.holds()+t.Late {
		x.clashes++ // a sum which only the lock guards came out wrong
	}
	return nil
}

func (x *result) verdict() string {
	verdict := "held"
	if x.clashes > 0 {
		verdict = "BROKEN"
	}
	if x.unserved > 0 {
		verdict += fmt.Sprintf(", %d unserved", x.unserved)
	}
	if x.failed > 0 {
		verdict += fmt.Sprintf(", %d calls failed", x.failed)
	}
	return verdict
}

func (r *hot) report(b *bench) []table {
	t := table{
		title: r.title,
		head: []string{"system", "holds/s", "min–max", "wait ms: p50", "p99", "min–max", "longest", "Jain",
			"requests/hold", "server µs/hold", "client µs/hold", "exclusion"},
	}
	for _, sys := range slices.Concat(b.systems, baselines) {
		x := r.results[sys.name]
		if x == nil {
			continue
		}
		t.add(sys.name, x.rate.cell(), x.rate.spread(), x.p50.ms().cell(), x.p99.ms().cell(), x.p99.ms().spread(), x.longest.ms().cell(),
			fmt.Sprintf("%.3f", x.jain.median()), x.requests.cell(), x.cpu.cell(), x.client.cell(), x.verdict())
		if x.why != "" {
			t.notes = append(t.notes, fmt.Sprintf("%s: a call failed: %s", sys.name, x.why))
		}
	}
	if ours, least := r.results[r.ours], r.results["relay"]; ours != nil && least != nil {
		ratio := ours.rate.over(least.rate)
		t.notes = append(t.notes, fmt.Sprintf("%s's throughput: %s × (%s) that of relay", r.ours, ratio.cell(), ratio.spread()))
	}
	t.notes = append(t.notes, r.lead(b, 0)...)
	t.notes = append(t.notes, r.lead(b, fair)...)
	return []table{t}
}
