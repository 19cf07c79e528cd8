//go:build unix

package mutex_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["elector"], workers["observer"] = elector, observer }

// office is memory that processes share outside Redis: what it says of who leads does not depend
// on what the election believes.
type office struct {
	number atomic.Int64 // of the last term that has begun
	leader atomic.Int64 // who began it
	clash  atomic.Int64
	terms  atomic.Int64
}

func officeElection() *mutex.Election {
	opts, err := redis.ParseURL(os.Getenv("OFFICE_URL"))
	must(err)
	e := mutex.NewElection(redis.NewClient(opts), "key")
	e.TTL, e.Value = officeTTL, os.Getenv("OFFICE_ID")
	return e
}

const officeTTL = 300 * time.Millisecond

// elector is a process that leads whenever it can. A term that goes on by its own clock once a
// later one has begun is a clash, and so is one that begins after a later one.
func elector() {
	o := openShared[office](os.Getenv("OFFICE"))
	id, err := strconv.ParseInt(os.Getenv("OFFICE_ID"), 10, 64)
	must(err)
	var running atomic.Int32
	must(officeElection().Lead(context.Background(), func(ctx context.Context, t *mutex.Term) error {
		mine := t.Number()
		if last := o.number.Swap(mine); last >= mine && t.Err() == nil || running.Add(1) != 1 {
			o.clash.Add(1)
			fmt.Fprintf(os.Stderr, "term %d begins after %d\n", mine, last)
		}
		defer running.Add(-1)
		o.leader.Store(id)
		o.terms.Add(1)
		for ctx.Err() == nil {
			// In this order: it still leads at a time when another has begun.
			if last := o.number.Load(); last > mine && t.Err() == nil {
				o.clash.Add(1)
				fmt.Fprintf(os.Stderr, "term %d goes on beside %d\n", mine, last)
			}
			time.Sleep(200 * time.Microsecond)
		}
		return nil
	}))
}

// observer is a process that prints the numbers of the terms.
func observer() {
	for l := range officeElection().Observe(context.Background()) {
		fmt.Println(l.Number)
	}
}

// TestElectionAcrossProcesses does to each leader what can be done to one: it is killed, stopped
// until another leads, cut off until another leads, Redis is restarted under it with and without its
// data, and fails over. Terms grow, no two go on at the same time, and three observers see growing
// numbers, each of them, and at last that nobody leads. BATON_ROUNDS=200 makes it long.
func TestElectionAcrossProcesses(t *testing.T) {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("BATON_ROUNDS"), "20"))
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	startServer := func() *redistest.Server {
		dir = t.TempDir()
		return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--dir", dir)
	}
	s := startServer()
	path := filepath.Join(t.TempDir(), "office")
	o := openShared[office](path)

	const candidates, observers = 3, 3
	var fleet [candidates]*redistest.Worker
	var proxies [candidates + 1]*redistest.Proxy // the last is that of the observers
	spawn := func(id int) {
		fleet[id] = redistest.Spawn(t, "elector", "OFFICE="+path, "OFFICE_URL=redis://"+proxies[id].Addr(), "OFFICE_ID="+strconv.Itoa(id))
	}
	for id := range proxies {
		proxies[id] = redistest.NewProxy(t, s.Addr())
	}
	for id := range fleet {
		spawn(id)
	}
	var seen [observers]atomic.Int64 // the last number of each
	for i := range seen {
		w := redistest.Spawn(t, "observer", "OFFICE_URL=redis://"+proxies[candidates].Addr())
		go func() {
			newest := int64(0)
			for line := range w.Lines() {
				n, err := strconv.ParseInt(line, 10, 64)
				if err != nil || n != 0 && n <= newest {
					t.Errorf("observer %d sees %q after %d", i, line, newest)
				}
				newest = max(newest, n)
				seen[i].Store(n)
			}
		}()
	}
	allSee := func(number func() int64) {
		t.Helper()
		for i := range seen {
			redistest.Eventually(t, redistest.Patience, func() bool { return seen[i].Load() == number() }, "observer %d sees %d", i, &seen[i])
		}
	}
	nextAfter := func(number int64) {
		t.Helper()
		redistest.Eventually(t, redistest.Patience, func() bool { return o.number.Load() > number }, "nobody leads after term %d", number)
	}

	nextAfter(0)
	for round := range rounds {
		leader, number := int(o.leader.Load()), o.number.Load()
		switch round % 6 {
		case 0:
			fleet[leader].Kill()
			nextAfter(number)
			spawn(leader)
		case 1:
			fleet[leader].Pause()
			nextAfter(number)
			fleet[leader].Continue()
		case 2:
			proxies[leader].Blackhole(true)
			nextAfter(number)
			proxies[leader].Blackhole(false)
		case 3: // the leader may lead on
			s.Kill()
			must(s.Restart())
		case 4:
			s.Kill()
			must(os.RemoveAll(filepath.Join(dir, "appendonlydir")))
			time.Sleep(officeTTL) // Redis must not forget a term that goes on: see PROTOCOL.md
			must(s.Restart())
			nextAfter(number)
		case 5: // to a replica that has all; the leader may lead on
			old := s
			s = startServer()
			s.Do(t, "REPLICAOF", "127.0.0.1", old.Port())
			for _, p := range proxies {
				p.Blackhole(true)
			}
			for range 2 { // what the server had received by the first time, it has executed by the second
				old.AwaitReplica(t)
			}
			s.Do(t, "REPLICAOF", "NO", "ONE")
			old.Kill()
			for _, p := range proxies {
				p.Retarget(s.Addr())
				p.CloseAll()
				p.Blackhole(false)
			}
		}
		allSee(o.number.Load)
	}

	number := o.number.Load()
	leader := int(o.leader.Load())
	for id, w := range fleet { // those that led long ago still campaign
		if id != (leader+1)%candidates {
			w.Kill()
		}
	}
	nextAfter(number)
	allSee(o.number.Load)
	fleet[(leader+1)%candidates].Kill()
	start := time.Now()
	allSee(func() int64 { return 0 })
	redistest.CheckDuration(t, "to observe a death in three processes", start, officeTTL+poll, 600*time.Millisecond)
	t.Logf("%d terms in %d rounds", o.terms.Load(), rounds)
	if o.clash.Load() != 0 || o.terms.Load() < int64(rounds*2/3) {
		t.Errorf("%d clashes in %d terms", o.clash.Load(), o.terms.Load())
	}
}
