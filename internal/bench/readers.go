package main

import (
	"context"
	"fmt"
	"time"
)

// readers is a row: goroutines of some processes read all the time, and one
// writes once a second.
type readers struct {
	name                  string
	processes, goroutines int
	hold                  time.Duration
	results               results
}

func newReaders(name, shape string) (row, error) {
	p, g, hold, err := held(shape, "4x64")
	return &readers{name, p, g, hold, results{}}, err
}

// locks are what is read by.
var locks = []string{"RWMutex", "Mutex", inProcess}

// inProcess is a yardstick: a lock of its own for each process, and no writer. Nothing
// that readers of several processes share can be quicker.
const inProcess = "sync.RWMutex"

// reading is for how many times the duration it goes on, so that there are a
// few writes.
const reading = 2

func (r *readers) round(ctx context.Context, b *bench, n int) error {
	for _, lock := range rotated(locks, n) {
		if err := b.missed(ctx, r.name, lock, r.measure(ctx, b, lock)); err != nil {
			return err
		}
	}
	return nil
}

func (r *readers) measure(ctx context.Context, b *bench, lock string) error {
	j := job{Task: "read", System: lock, Key: "read", Goroutines: r.goroutines, Hold: r.hold, Duration: reading * b.duration}
	t, err := b.try(ctx, r.processes, j)
	if err != nil {
		return err
	}
	r.results.of(lock).add(t, j.Duration, system{})
	return nil
}

func (r *readers) report(*bench) []table {
	t := table{
		title: fmt.Sprintf("%s: %d processes × %d goroutines that read all the time, each for %v; one writer a second", r.name, r.processes, r.goroutines, r.hold),
		head: []string{"lock", "reads/s", "min–max", "read wait ms: p99", "longest", "Jain", "writes", "mean write wait ms", "requests/s",
			"exclusion"},
	}
	for _, lock := range locks {
		x := r.results[lock]
		if x == nil {
			continue
		}
		verdict := "held"
		switch {
		case lock == inProcess:
			verdict = "not between processes"
		case x.clashes > 0:
			verdict = "BROKEN"
		}
		if x.failed > 0 {
			t.notes = append(t.notes, fmt.Sprintf("%s: %d calls failed: %s", lock, x.failed, x.why))
		}
		t.add(lock, x.rate.cell(), x.rate.spread(), x.p99.ms().cell(), x.longest.ms().cell(), fmt.Sprintf("%.3f", x.jain.median()),
			number(float64(x.writes)), x.writeWait.ms().cell(), x.load.cell(), verdict)
	}
	return []table{t}
}

func (r *readers) targets(*bench) []target {
	return []target{{row: r.name, what: "reads/s of RWMutex, × those of Mutex", limit: 20, least: true, got: r.results.rate("RWMutex").over(r.results.rate("Mutex"))}}
}
