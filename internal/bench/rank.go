package main

import "fmt"

// fair is Jain's index from which a peer counts as one that lets all in. Who
// does not may be quick by letting one worker keep the lock.
const fair = 0.9

// best is the peer that is best in one respect, of those that exclude and are as
// fair as that.
func (r *hot) best(b *bench, fairness float64, of func(*result) float64) (name string, x *result) {
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

func quickest(x *result) float64     { return x.rate.median() }
func shortestP99(x *result) float64  { return -x.p99.median() }
func shortestWait(x *result) float64 { return -x.longest.median() }

// lead compares ours with the best peers, each in its best respect.
func (r *hot) lead(b *bench, fairness float64) (notes []string) {
	ours := r.results[r.ours]
	if ours == nil {
		return nil
	}
	say := func(what string, of func(*result) float64, figure func(*result) series) {
		if name, x := r.best(b, fairness, of); x != nil {
			ratio := figure(ours).over(figure(x))
			notes = append(notes, fmt.Sprintf("%s's %s: %s × (%s) that of the best %s, %s",
				r.ours, what, ratio.cell(), ratio.spread(), whose(fairness), name))
		}
	}
	say("throughput", quickest, func(x *result) series { return x.rate })
	say("p99 wait", shortestP99, func(x *result) series { return x.p99 })
	say("longest wait", shortestWait, func(x *result) series { return x.longest })
	return notes
}

func whose(fairness float64) string {
	if fairness == 0 {
		return "peer"
	}
	return fmt.Sprintf("peer with Jain's index ≥ %v", fairness)
}

// A hotTarget is what a row of this name is to reach. A limit of 0 is none.
type hotTarget struct {
	rate     float64 // × the best peer's, at least
	p99      float64 // × the best peer's, at most
	jain     float64 // at least
	requests float64 // a hold, at most
	alone    float64 // × the rate of an uncontended loop, at least
	share    float64 // × waiters × hold, at most, for the p99 wait
}

var hotTargets = map[string]hotTarget{
	"hot-4x8":      {rate: 80, p99: 1.0 / 8, jain: 0.97},
	"hot-4x256":    {rate: 50, p99: 1.0 / 50, jain: 0.97},
	"hot-16x1":     {rate: 1.2, p99: 1.0 / 8, jain: 0.99, requests: 2.1},
	"hot-4x8-1ms":  {jain: 0.97, alone: 0.92, share: 1.5},
	"permits":      {rate: 20},
	"permits-4x64": {rate: 20},
}

func (r *hot) targets(b *bench) (list []target) {
	limits := hotTargets[r.name]
	ours := r.results[r.ours]
	if ours == nil {
		ours = new(result)
	}
	add := func(what string, got series, limit float64, least bool) {
		if limit > 0 {
			list = append(list, target{r.name, what, got, limit, least})
		}
	}
	for _, fairness := range []float64{0, fair} {
		if name, x := r.best(b, fairness, quickest); x != nil {
			add(fmt.Sprintf("holds/s, × those of the best %s (%s)", whose(fairness), name), ours.rate.over(x.rate), limits.rate, true)
		}
		if name, x := r.best(b, fairness, shortestP99); x != nil {
			add(fmt.Sprintf("p99 wait, × that of the best %s (%s)", whose(fairness), name), ours.p99.over(x.p99), limits.p99, false)
		}
	}
	if x := r.results[lingerName]; x != nil && r.name == "hot-16x1" {
		if name, peer := r.best(b, 0, quickest); peer != nil {
			add(fmt.Sprintf("with Linger: holds/s, × those of the best peer (%s)", name), x.rate.over(peer.rate), 20, true)
		}
		if name, peer := r.best(b, fair, shortestWait); peer != nil {
			add(fmt.Sprintf("with Linger: longest wait, × that of the best %s (%s)", whose(fair), name), x.longest.over(peer.longest), 1, false)
		}
		add("with Linger: Jain's index", x.jain, 0.97, true)
	}
	add("Jain's index", ours.jain, limits.jain, true)
	add("requests a hold", ours.requests, limits.requests, false)
	if x := r.results["uncontended"]; x != nil {
		add("holds/s, × those of an uncontended loop", ours.rate.over(x.rate), limits.alone, true)
	}
	shares := series{}
	for _, µs := range ours.p99 {
		shares = append(shares, µs/(float64(r.processes*r.goroutines)*micros(r.hold)))
	}
	add("p99 wait, × waiters × hold", shares, limits.share, false)
	return list
}
