package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// hot is a row: all goroutines of some processes want the same key all the time.
type hot struct {
	name                  string
	processes, goroutines int
	hold                  time.Duration
	results               map[string]*hotResult
}

type hotResult struct {
	rate, p50, p99, longest, jain, requests, cpu series
	clashes, unserved, failed                    int64
	why                                          string
}

// newHot reads a name such as hot-4x8 or hot-4x8-1ms.
func newHot(name string) (*hot, error) {
	h := &hot{name: name, results: map[string]*hotResult{}}
	rest := strings.TrimPrefix(name, "hot-")
	shape, hold, held := strings.Cut(rest, "-")
	_, err := fmt.Sscanf(shape, "%dx%d", &h.processes, &h.goroutines)
	if err == nil && held {
		h.hold, err = time.ParseDuration(hold)
	}
	if err != nil || rest == name || h.processes < 1 || h.goroutines < 1 || h.hold < 0 {
		return nil, fmt.Errorf("there is no row %q; rows are solo and, by processes and goroutines, hot-4x8 or hot-4x8-1ms", name)
	}
	return h, nil
}

func (r *hot) round(ctx context.Context, b *bench, n int) error {
	for _, sys := range rotated(b.systems, n) {
		if sys.soloOnly {
			continue
		}
		profile := ""
		if b.profile != "" {
			profile = filepath.Join(b.profile, fmt.Sprintf("%s.%s.%d", r.name, sys.name, n))
		}
		if err := r.measure(ctx, b, sys, profile); err != nil {
			return fmt.Errorf("%s: %s: %w", r.name, sys.name, err)
		}
	}
	return nil
}

// measure has the system's workers contend once.
func (r *hot) measure(ctx context.Context, b *bench, sys system, profile string) error {
	if err := b.server.admin.FlushDB(ctx).Err(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "baton-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	a, unmap, err := openArena(filepath.Join(dir, "arena"))
	if err != nil {
		return err
	}
	defer unmap()

	f, err := startFleet(ctx, r.processes, job{
		System: sys.name, Addr: b.server.Addr(), Key: "hot", Arena: filepath.Join(dir, "arena"),
		Goroutines: r.goroutines, Hold: r.hold, Duration: b.duration, Profile: profile,
	})
	if err != nil {
		return err
	}
	defer f.end()
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
	if r.results[sys.name] == nil {
		r.results[sys.name] = new(hotResult)
	}
	r.results[sys.name].add(all, a, b.duration, after.since(before), sys)
	return nil
}

func (x *hotResult) add(t *tally, a *arena, d time.Duration, c count, sys system) {
	var counted int64
	for _, n := range t.Holds {
		counted += n
	}
	holds := counted + t.Late
	x.rate = append(x.rate, float64(counted)/d.Seconds())
	x.p50 = append(x.p50, micros(t.Waits.quantile(0.50))/1000)
	x.p99 = append(x.p99, micros(t.Waits.quantile(0.99))/1000)
	x.longest = append(x.longest, micros(t.Longest)/1000)
	x.jain = append(x.jain, jain(t.Holds))
	x.requests = append(x.requests, float64(c.requests(sys))/float64(holds))
	x.cpu = append(x.cpu, micros(c.cpu)/float64(holds))
	x.clashes += a.clashes.Load()
	if a.total != holds {
		x.clashes++ // a sum which only the lock guards came out wrong
	}
	x.unserved += t.Unserved
	x.failed += t.Failed
	if t.Why != "" {
		x.why = t.Why
	}
}

func (x *hotResult) verdict() string {
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

func (r *hot) report(b *bench) table {
	t := table{
		title: fmt.Sprintf("%s: %d processes × %d goroutines on one key, held for %v", r.name, r.processes, r.goroutines, r.hold),
		head: []string{"system", "holds/s", "min–max", "wait ms: p50", "p99", "min–max", "longest", "Jain",
			"requests/hold", "server µs/hold", "exclusion"},
	}
	for _, sys := range b.systems {
		x := r.results[sys.name]
		if x == nil {
			continue
		}
		t.add(sys.name, x.rate.cell(), x.rate.spread(), x.p50.cell(), x.p99.cell(), x.p99.spread(), x.longest.cell(),
			fmt.Sprintf("%.3f", x.jain.median()), x.requests.cell(), x.cpu.cell(), x.verdict())
		if x.why != "" {
			t.notes = append(t.notes, fmt.Sprintf("%s: a call failed: %s", sys.name, x.why))
		}
	}
	t.notes = append(t.notes, r.lead(b, 0, "the best peer")...)
	t.notes = append(t.notes, r.lead(b, 0.9, "the best peer with Jain's index above 0.9")...)
	return t
}

// lead compares ours with the best peers, each in its best respect.
func (r *hot) lead(b *bench, fairness float64, whose string) (notes []string) {
	ours := r.results["baton"]
	if ours == nil {
		return nil
	}
	best := func(of func(*hotResult) float64) (name string, x *hotResult) {
		for _, sys := range b.systems {
			y := r.results[sys.name]
			if y == nil || sys.own || y.clashes > 0 || y.jain.median() < fairness {
				continue
			}
			if x == nil || of(y) > of(x) {
				name, x = sys.name, y
			}
		}
		return name, x
	}
	name, x := best(func(x *hotResult) float64 { return x.rate.median() })
	if x == nil {
		return nil
	}
	rate := ours.rate.over(x.rate)
	notes = append(notes, fmt.Sprintf("baton's holds/s: %s × (%s) those of %s, %s", rate.cell(), rate.spread(), whose, name))
	name, x = best(func(x *hotResult) float64 { return -x.p99.median() })
	p99 := ours.p99.over(x.p99)
	notes = append(notes, fmt.Sprintf("baton's p99 wait: %s × (%s) that of %s, %s", p99.cell(), p99.spread(), whose, name))
	name, x = best(func(x *hotResult) float64 { return -x.longest.median() })
	longest := ours.longest.over(x.longest)
	return append(notes, fmt.Sprintf("baton's longest wait: %s × (%s) that of %s, %s", longest.cell(), longest.spread(), whose, name))
}
