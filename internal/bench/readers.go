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
	results               map[string]*readersResult
}

type readersResult struct {
	rate, p99, requests, writeWait series
	longest, jain                  series
	writes                         float64
	clashes, failed                int64
	why                            string
}

func newReaders(name, shape string) (row, error) {
	p, g, hold, err := held(shape, "4x64")
	return &readers{name, p, g, hold, map[string]*readersResult{}}, err
}

// locks are what is read by.
var locks = []string{"RWMutex", "RWMutex-sync", "Mutex", "Mutex-sync", inProcess}

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
	if r.results[lock] == nil {
		r.results[lock] = new(readersResult)
	}
	r.results[lock].add(t, j.Duration)
	return nil
}

func (x *readersResult) add(t *trial, d time.Duration) {
	reads := float64(t.holds())
	x.rate = append(x.rate, reads/d.Seconds())
	x.p99 = append(x.p99, micros(t.Waits.quantile(0.99))/1000)
	x.longest = append(x.longest, micros(t.Longest)/1000)
	x.jain = append(x.jain, jain(t.Holds))
	x.requests = append(x.requests, float64(t.requests(system{}))/d.Seconds())
	if n := t.Figures["writes"]; n > 0 {
		x.writes += n
		x.writeWait = append(x.writeWait, micros(time.Duration(t.Figures["write wait"]/n))/1000)
	}
	x.clashes += t.clashes
	x.failed += t.Failed
	if t.Why != "" {
		x.why = t.Why
	}
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
		t.add(lock, x.rate.cell(), x.rate.spread(), x.p99.cell(), x.longest.cell(), fmt.Sprintf("%.3f", x.jain.median()),
			number(x.writes), x.writeWait.cell(), x.requests.cell(), verdict)
	}
	return []table{t}
}

func (r *readers) targets(*bench) (list []target) {
	for _, dialect := range []string{"", "-sync"} {
		t := target{row: r.name, what: "reads/s of RWMutex" + dialect + ", × those of Mutex" + dialect, limit: 20, least: true}
		if x, y := r.results["RWMutex"+dialect], r.results["Mutex"+dialect]; x != nil && y != nil {
			t.got = x.rate.over(y.rate)
		}
		list = append(list, t)
	}
	return list
}
