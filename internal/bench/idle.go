package main

import (
	"context"
	"fmt"
	"time"
)

// watched is for how many times the duration requests are counted, as one a
// second is hard to see in one second.
const watched = 5

// idle is a row: goroutines of some processes wait for a lock that another has.
type idle struct {
	name                  string
	processes, goroutines int
	results               map[string]*idleResult
}

type idleResult struct {
	holding, waiting series // requests a second of the holder alone, and of those that wait
	cpu              series // ms of the server's, a second, for those that wait
	clashes          int64
}

func newIdle(name, shape string) (row, error) {
	p, g, err := square(shape, "4x64")
	return &idle{name, p, g, map[string]*idleResult{}}, err
}

func (r *idle) round(ctx context.Context, b *bench, n int) error {
	for _, sys := range rotated(b.having(system.contends), n) {
		if err := b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys)); err != nil {
			return err
		}
	}
	return nil
}

// measure counts what is sent while this process holds the lock and nobody
// waits, and then while all others do. In the end it unlocks, so that they end.
func (r *idle) measure(ctx context.Context, b *bench, sys system) error {
	c, err := sys.open(b.server.Addr(), time.Minute) // it has little to renew
	if err != nil {
		return err
	}
	defer c.close()
	j := job{Task: "contend", System: sys.name, Key: "idle", Limit: 1, Goroutines: r.goroutines,
		Duration: (1 + watched) * b.duration}
	return b.staff(ctx, r.processes, j, func(f *fleet, a *sharedMem) error {
		h := c.handle(j.Key)
		if err := h.lock(ctx); err != nil {
			return err
		}
		a.enter(1)
		alone, err := b.server.during(ctx, b.duration)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() {
			_, err := f.run()
			ended <- err
		}()
		time.Sleep(b.duration) // until all wait, and have got used to it
		together, err := b.server.during(ctx, watched*b.duration)
		a.leave()
		if err := h.unlock(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		r.add(sys, b.duration, alone, together, a)
		return <-ended
	})
}

func (r *idle) add(sys system, d time.Duration, alone, together count, a *sharedMem) {
	x := r.results[sys.name]
	if x == nil {
		x = new(idleResult)
		r.results[sys.name] = x
	}
	holding := float64(alone.requests(sys)) / d.Seconds()
	x.holding = append(x.holding, holding)
	x.waiting = append(x.waiting, max(float64(together.requests(sys))/(watched*d).Seconds()-holding, 0))
	busy := together.cpu.Seconds()/watched - alone.cpu.Seconds()
	x.cpu = append(x.cpu, max(busy, 0)*1000/d.Seconds())
	x.clashes += a.clashes.Load()
}

func (r *idle) report(b *bench) []table {
	t := table{
		title: fmt.Sprintf("%s: %d processes × %d goroutines wait for a lock that one more holds", r.name, r.processes, r.goroutines),
		head:  []string{"system", "requests/s", "per process", "per goroutine", "server ms/s", "holder's requests/s", "exclusion"},
	}
	for _, sys := range b.systems {
		x := r.results[sys.name]
		if x == nil {
			continue
		}
		verdict := "held"
		if x.clashes > 0 {
			verdict = "BROKEN"
		}
		t.add(sys.name, x.waiting.cell(), r.per(x, r.processes).cell(), r.per(x, r.processes*r.goroutines).cell(),
			x.cpu.cell(), x.holding.cell(), verdict)
	}
	return []table{t}
}

func (r *idle) per(x *idleResult, n int) (s series) {
	for _, v := range x.waiting {
		s = append(s, v/float64(n))
	}
	return s
}

func (r *idle) targets(*bench) []target {
	t := target{row: r.name, what: "requests a second per process", limit: 1}
	if x := r.results["baton"]; x != nil {
		t.got = r.per(x, r.processes)
	}
	return []target{t}
}
