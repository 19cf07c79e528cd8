package main

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"
)

// An injection is the injection of one fault.
type injection struct {
	*testRun
	fault        fault
	random       *rand.Rand
	from, healed int64
	evidence     string // how the fault was observed; "" if it was not
}

func pick[V any](x *injection, list []V) V { return list[x.random.IntN(len(list))] }

// between returns a random duration.
func (x *injection) between(from, to time.Duration) time.Duration {
	return from + time.Duration(x.random.Int64N(int64(to-from)+1))
}

func (x *injection) sleep(from, to time.Duration) { time.Sleep(x.between(from, to)) }

// someWorkers returns one worker or all workers.
func (x *injection) someWorkers() []*member {
	if x.random.IntN(2) == 0 {
		return x.fleet
	}
	return []*member{pick(x, x.fleet)}
}

// proxies returns the workers' proxies of masters.
func (x *injection) proxies(members []*member) (list []*proxy) {
	for _, m := range members {
		for _, n := range x.topology.masters() {
			list = append(list, m.proxies[n.Addr()])
		}
	}
	return list
}

// confirm records the evidence that the fault happened, if it did.
func (x *injection) confirm(happened bool, format string, args ...any) {
	if happened {
		x.evidence = fmt.Sprintf(format, args...)
	}
}

// count returns the fault's counter, of all proxies or all masters.
func (x *injection) count() (total int64) {
	if strings.HasPrefix(x.fault.counter, "errorstat_") {
		for _, n := range x.topology.masters() {
			var count int64
			_, _ = fmt.Sscanf(n.info(x.fault.counter), "count=%d", &count) // the field is missing before the first error
			total += count
		}
		return total
	}
	for _, p := range x.proxies(x.fleet) {
		total += reflect.ValueOf(p.Faults()).FieldByName(x.fault.counter).Int()
	}
	return total
}

// run injects the fault, and confirms it if its counter has grown.
func (x *injection) run() {
	if x.fault.counter == "" {
		x.fault.inject(x)
		return
	}
	before := x.count()
	x.fault.inject(x)
	n := x.count() - before
	x.confirm(n > 0, "%s has grown by %d", x.fault.counter, n)
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

// awaitBusy waits for up to a second until the worker has holds, and one of them is on a random key, or it waits for the
// key's limiter. It returns the numbers of holds and open requests.
func (x *injection) awaitBusy(m *member) (held, queued int) {
	key := pick(x, x.keys)
	eventually(time.Second, func() bool {
		x.fleet.read(x.timeline)
		holds, requests := x.timeline.open(m.plan.Worker, now())
		held, queued = len(holds), len(requests)
		if key[0] == 'l' {
			holds = requests
		}
		return held > 0 && slices.ContainsFunc(holds, func(h *interval) bool { return h.key() == key })
	})
	return held, queued
}

// longHold waits for a long hold, and returns nil if there is none.
func (x *injection) longHold() (found *interval) {
	const old = int64(3 * shortHold)
	eventually(5*time.Second, func() bool {
		x.fleet.read(x.timeline)
		for _, h := range x.timeline.list {
			if x.longest(h.key()) > shortHold && h.granted() && h.knownEnd() == 0 && x.timeline.died(h) == 0 && now()-h.Replied > old {
				found = h
			}
		}
		return found != nil
	})
	return found
}
