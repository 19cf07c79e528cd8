package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// An injection is the injection of one fault.
type injection struct {
	*testRun
	random       *rand.Rand
	from, healed int64
	evidence     string // how the fault was observed; "" if it was not
}

func pick[V any](x *injection, list []V) V { return list[x.random.IntN(len(list))] }

// between returns a random duration.
func (x *injection) between(from, to time.Duration) time.Duration {
	return from + time.Duration(x.random.Int64N(int64(to-from)+1))
}

// durationIf returns a random duration if on is set, and 0 otherwise.
func (x *injection) durationIf(on bool, from, to time.Duration) time.Duration {
	if !on {
		return 0
	}
	return x.between(from, to)
}

func (x *injection) sleep(from, to time.Duration) { time.Sleep(x.between(from, to)) }

// someWorkers returns one worker or all workers.
func (x *injection) someWorkers() []*member {
	if x.random.IntN(2) == 0 {
		return x.fleet.members
	}
	return []*member{x.oneWorker()}
}

func (x *injection) oneWorker() *member { return pick(x, x.fleet.members) }

// proxies returns the workers' proxies of masters.
func (x *injection) proxies(members []*member) (list []*proxy) {
	for _, m := range members {
		for _, n := range x.topology.masters() {
			list = append(list, m.proxies[n.Addr()])
		}
	}
	return list
}

func faultCount(proxies []*proxy, count func(counts) int64) (n int64) {
	for _, p := range proxies {
		n += count(p.Faults())
	}
	return n
}

// confirm records the evidence that the fault happened, if it did.
func (x *injection) confirm(happened bool, format string, args ...any) {
	if happened {
		x.evidence = fmt.Sprintf(format, args...)
	}
}

// excuseLosses records that Redis may have lost holds on the key, or on all keys, since a time. Lost claims
// are trusted for at most one TTL more.
func (x *injection) excuseLosses(key string, from int64) {
	x.timeline.excused = append(x.timeline.excused, excusedLoss{key, from, now() + int64(x.ttl) + int64(50*time.Millisecond)})
}

// command sends a command to all masters.
func (x *injection) command(args ...any) {
	for _, n := range x.topology.masters() {
		n.do(args...)
	}
}

// errors returns the number of errors with the code that the masters have counted.
func (x *injection) errors(code string) (total int64) {
	for _, n := range x.topology.masters() {
		var count int64
		_, _ = fmt.Sscanf(n.info("errorstat_"+code), "count=%d", &count) // the field is missing before the first error
		total += count
	}
	return total
}

// awaitBusy waits for up to a second until the worker has holds, and one of them is on a random key. It
// returns the numbers of holds and open requests.
func (x *injection) awaitBusy(m *member) (held, queued int) {
	key := pick(x, x.keys)
	eventually(time.Second, func() bool {
		x.fleet.read(x.timeline)
		held, queued = x.timeline.open(m.plan.Worker, now())
		return held > 0 && x.timeline.has(m.plan.Worker, key)
	})
	return held, queued
}

// longHold waits for a long hold, and returns nil if there is none.
func (x *injection) longHold() (found *interval) {
	const old = int64(3 * shortHold)
	eventually(5*time.Second, func() bool {
		x.fleet.read(x.timeline)
		for _, h := range x.timeline.list {
			if x.longest(h.key) > shortHold && h.granted() && h.knownEnd() == 0 && x.timeline.died(h) == 0 && now()-h.replied > old {
				found = h
			}
		}
		return found != nil
	})
	return found
}
