package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// An injection is where a fault is injected, and what is found out about it.
type injection struct {
	*testRun
	random       *rand.Rand
	from, healed int64
	proof        string // by whom the fault was noticed; empty if it did not fire
}

func pick[V any](x *injection, list []V) V { return list[x.random.IntN(len(list))] }

// between is a random time.
func (x *injection) between(from, to time.Duration) time.Duration {
	return from + time.Duration(x.random.Int64N(int64(to-from)+1))
}

// when is a random time if on, and else 0.
func (x *injection) when(on bool, from, to time.Duration) time.Duration {
	if !on {
		return 0
	}
	return x.between(from, to)
}

func (x *injection) sleep(from, to time.Duration) { time.Sleep(x.between(from, to)) }

// some of the workers: one, or all.
func (x *injection) some() []*member {
	if x.random.IntN(2) == 0 {
		return x.fleet.members
	}
	return []*member{x.one()}
}

func (x *injection) one() *member { return pick(x, x.fleet.members) }

// proxies are those of the workers which lead to masters.
func (x *injection) proxies(of []*member) (list []*proxy) {
	for _, m := range of {
		for _, n := range x.topology.masters() {
			list = append(list, m.proxies[n.Addr()])
		}
	}
	return list
}

func fired(proxies []*proxy, count func(counts) int64) (n int64) {
	for _, p := range proxies {
		n += count(p.Faults())
	}
	return n
}

// prove notes that the fault fired, if it did.
func (x *injection) prove(fired bool, format string, args ...any) {
	if fired {
		x.proof = fmt.Sprintf(format, args...)
	}
}

// lose notes that from a time until now Redis may have forgotten holds on the key, or
// on all. Claims that it has forgotten are trusted for a TTL at most.
func (x *injection) lose(key string, from int64) {
	x.timeline.excused = append(x.timeline.excused, excusedLoss{key, from, now() + int64(x.ttl) + int64(50*time.Millisecond)})
}

// command sends all masters a command.
func (x *injection) command(args ...any) {
	for _, n := range x.topology.masters() {
		n.do(args...)
	}
}

// errors is how many errors of that code the masters have answered with.
func (x *injection) errors(code string) (total int64) {
	for _, n := range x.topology.masters() {
		var count int64
		_, _ = fmt.Sscanf(n.info("errorstat_"+code), "count=%d", &count) // there is none before the first
		total += count
	}
	return total
}

// busy waits, but not for long, until the worker holds some keys and waits for others,
// and one that it holds is of the kind that the random choice fell on.
func (x *injection) busy(m *member) (held, queued int) {
	key := pick(x, x.keys)
	eventually(time.Second, func() bool {
		x.fleet.read(x.timeline)
		held, queued = x.timeline.open(m.plan.Worker, now())
		return held > 0 && x.timeline.has(m.plan.Worker, key)
	})
	return held, queued
}

// lasting waits for a hold that seems to last, and returns nil if there is none.
func (x *injection) lasting() (found *interval) {
	const old = int64(3 * shortHold)
	eventually(5*time.Second, func() bool {
		x.fleet.read(x.timeline)
		for _, h := range x.timeline.list {
			if x.longest(h.key) > shortHold && h.granted() && h.over() == 0 && x.timeline.died(h) == 0 && now()-h.answered > old {
				found = h
			}
		}
		return found != nil
	})
	return found
}
