package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// An injection is where a fault is injected, and what is found out about it.
type injection struct {
	*testRun
	random       *rand.Rand
	from, healed int64
	proof        string // by whom the fault was noticed; empty if it did not fire
}

// between is a random time.
func (x *injection) between(from, to time.Duration) time.Duration {
	return from + time.Duration(x.random.Int64N(int64(to-from)+1))
}

// some of the workers: one, or all.
func (x *injection) some() []*member {
	if x.random.IntN(2) == 0 {
		return x.fleet.members
	}
	return []*member{x.one()}
}

func (x *injection) one() *member { return x.fleet.members[x.random.IntN(len(x.fleet.members))] }

// proxies are those of the workers which lead to masters.
func (x *injection) proxies(of []*member) (list []*redistest.Proxy) {
	for _, m := range of {
		for _, n := range x.topology.masters() {
			list = append(list, m.proxies[n.Addr()])
		}
	}
	return list
}

func fired(proxies []*redistest.Proxy, count func(redistest.Faults) int64) (n int64) {
	for _, p := range proxies {
		n += count(p.Faults())
	}
	return n
}

// prove notes that the fault fired.
func (x *injection) prove(format string, args ...any) { x.proof = fmt.Sprintf(format, args...) }

// lose notes that from a time until now Redis may have forgotten holds on the key, or
// on all. Claims that it has forgotten are trusted for a TTL at most.
func (x *injection) lose(key string, from int64) {
	x.timeline.excused = append(x.timeline.excused, excusedLoss{key, from, now() + int64(x.ttl) + int64(50*time.Millisecond)})
}

// each does something to all masters.
func (x *injection) each(do func(n *node) error) error {
	for _, n := range x.topology.masters() {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

// command sends all masters a command.
func (x *injection) command(args ...any) error {
	return x.each(func(n *node) error {
		_, err := n.do(args...)
		return err
	})
}

// sum adds up a number that stands in a field of the masters' INFO as "name=N,…" or "N".
func (x *injection) sum(field string) (total int64, err error) {
	err = x.each(func(n *node) error {
		text, err := n.info(field)
		if err != nil || text == "" {
			return err
		}
		var count int64
		if _, err := fmt.Sscanf(text, "count=%d", &count); err != nil {
			if _, err = fmt.Sscanf(text, "%d", &count); err != nil {
				return fmt.Errorf("soak: INFO says %s:%s", field, text)
			}
		}
		total += count
		return nil
	})
	return total, err
}

// spoils matches the requests of the system that are worth to be spoiled.
func (x *injection) spoils() string {
	if x.system == "redsync" && x.random.IntN(2) == 0 {
		return "\r\nset\r\n"
	}
	return "evalsha"
}

func (x *injection) sleep(from, to time.Duration) { time.Sleep(x.between(from, to)) }
