package main

import (
	"context"
	"fmt"
	"time"
)

// again is a row: a process locks the same key again and again, and another one wants it too
// once in a while, or in turn.
type again struct {
	name, task string
	results    results
}

// newAgain reads the row's shape: how many goroutines have a key each, or who else wants the key.
func newAgain(name, shape string) (row, error) {
	if shape == "foreign" || shape == "pingpong" {
		return &again{name, shape, results{}}, nil
	}
	n, err := size(shape, 1)
	least := 20.0
	if n == 1 {
		least = 50
	}
	return &own{name: name, goroutines: n, lingers: least, results: results{}}, err
}

// visitPeriod is how often the other process of again-foreign locks the key.
const visitPeriod = 100 * time.Millisecond

// alone is the result of a process that visits a lock which is free.
const alone = "free lock"

func (r *again) round(ctx context.Context, b *bench, n int) error {
	list := b.having(func(s system) bool { return s.lingers || s.name == "baton" || s.name == "floor" && r.task == "foreign" })
	for _, sys := range rotated(list, n) {
		j := job{Task: r.task, System: sys.name, Key: "again", Duration: b.duration}
		processes := 1
		if r.task == "foreign" {
			if sys.name != "floor" { // which is measured alone: it cannot wait
				processes = 2
			}
			j.Duration = max(b.duration, 40*visitPeriod)
		}
		t, err := b.try(ctx, processes, j)
		if err != nil {
			return err
		}
		r.results.of(sys.name).add(t, j.Duration, sys)
		if r.task == "foreign" && sys.lingers {
			j.Task = "visit"
			if t, err = b.try(ctx, 1, j); err != nil {
				return err
			}
			r.results.of(alone).add(t, j.Duration, sys)
		}
	}
	return nil
}

func (r *again) report(*bench) []table {
	title := "2 clients that lock a key in turn"
	if r.task == "foreign" {
		title = fmt.Sprintf("1 process locks a key again and again, another locks it every %v: its wait", visitPeriod)
	}
	t := table{title: r.name + ": " + title, head: []string{"system", "holds/s", "min–max", "wait µs: p50", "p99", "min–max", "requests/hold"}}
	for _, name := range []string{"floor", "baton", lingerName, alone} {
		if x := r.results[name]; x != nil {
			t.add(name, x.rate.cell(), x.rate.spread(), x.p50.cell(), x.p99.cell(), x.p99.spread(), x.requests.cell())
		}
	}
	return []table{t}
}

func (r *again) targets(*bench) (list []target) {
	x := r.results[lingerName]
	if x == nil {
		return nil
	}
	if free := r.results[alone]; free != nil {
		list = []target{
			{row: r.name, what: "p50 wait, × that on a free lock", got: x.p50.over(free.p50), limit: 2.5},
			{row: r.name, what: "p99 wait, × that on a free lock", got: x.p99.over(free.p99), limit: 4},
		}
		if floor := r.results["floor"]; floor != nil {
			list = append(list, target{row: r.name, what: "holds/s, × those of floor, which nobody visits", got: x.rate.over(floor.rate), limit: 20, least: true})
		}
		return list
	}
	if plain := r.results["baton"]; plain != nil {
		list = append(list, target{row: r.name, what: "holds/s, × those without Linger", got: x.rate.over(plain.rate), limit: 0.9, least: true})
	}
	return list
}
