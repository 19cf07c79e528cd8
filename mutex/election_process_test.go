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
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["elector"], workers["observer"] = elector, observer }

// sharedTerms is memory that processes share outside Redis. It is independent of the election.
type sharedTerms struct {
	number   atomic.Int64 // of the last term that has begun
	leader   atomic.Int64 // of that term
	overlaps atomic.Int64
	terms    atomic.Int64
}

func openShared[T any](path string) *T {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	defer f.Close()
	size := int(unsafe.Sizeof(*new(T)))
	must(f.Truncate(int64(size)))
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return (*T)(unsafe.Pointer(&mem[0]))
}

func electionFromEnv() *mutex.Election {
	opts, err := redis.ParseURL(os.Getenv("ELECTION_URL"))
	must(err)
	e := mutex.NewElection(redis.NewClient(opts), "key")
	e.TTL, e.Value = processTTL, os.Getenv("ELECTION_ID")
	return e
}

const processTTL = 300 * time.Millisecond

// elector is a process that leads as often as it can. Terms overlap if one is still valid by its own
// clock after a later one has begun, or if one begins after a later one.
func elector() {
	o := openShared[sharedTerms](os.Getenv("ELECTION_SHARED"))
	id, err := strconv.ParseInt(os.Getenv("ELECTION_ID"), 10, 64)
	must(err)
	var running atomic.Int32
	must(electionFromEnv().Lead(context.Background(), func(ctx context.Context, t *mutex.Term) error {
		mine := t.Number()
		o.leader.Store(id) // before the number, as the test reads the number first
		if last := o.number.Swap(mine); last >= mine && t.Err() == nil || running.Add(1) != 1 {
			o.overlaps.Add(1)
		}
		defer running.Add(-1)
		o.terms.Add(1)
		for ctx.Err() == nil {
			// In this order: the term must have ended before the next one has begun.
			if o.number.Load() > mine && t.Err() == nil {
				o.overlaps.Add(1)
			}
			time.Sleep(200 * time.Microsecond)
		}
		return nil
	}))
}

// observer is a process that prints the numbers of the terms.
func observer() {
	for l := range electionFromEnv().Observe(context.Background()) {
		fmt.Println(l.Number)
	}
}

// TestElectionAcrossProcesses kills, stops and disconnects leaders, restarts Redis with and without
// its data, and fails over. Terms grow and do not overlap. Three observers see each number in order,
// and finally no leader. BATON_ROUNDS=200 makes it long.
func TestElectionAcrossProcesses(t *testing.T) {
	t.Parallel()
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("BATON_ROUNDS"), "6"))
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	startServer := func() *redistest.Server {
		dir = t.TempDir()
		return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--dir", dir)
	}
	s := startServer()
	path := filepath.Join(t.TempDir(), "shared")
	o := openShared[sharedTerms](path)

	const candidates, observers = 3, 3
	var fleet [candidates]*redistest.Worker
	var proxies [candidates + 1]*redistest.Proxy // the last one is for the observers
	spawn := func(id int) {
		fleet[id] = redistest.Spawn(t, "elector", "ELECTION_SHARED="+path, "ELECTION_URL=redis://"+proxies[id].Addr(), "ELECTION_ID="+strconv.Itoa(id))
	}
	for id := range proxies {
		proxies[id] = redistest.NewProxy(t, s.Addr())
	}
	for id := range fleet {
		spawn(id)
	}
	var seen [observers]atomic.Int64 // the last numbers
	for i := range seen {
		w := redistest.Spawn(t, "observer", "ELECTION_URL=redis://"+proxies[candidates].Addr())
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
		redistest.Eventually(t, redistest.Patience, func() bool { return o.number.Load() > number }, "a term after %d", number)
	}

	nextAfter(0)
	for round := range rounds {
		number := o.number.Load()
		leader := int(o.leader.Load())
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
		case 3: // the term may survive
			must(s.Restart())
		case 4:
			s.Kill()
			must(os.RemoveAll(filepath.Join(dir, "appendonlydir")))
			time.Sleep(processTTL) // Redis must not forget a current term: see PROTOCOL.md
			must(s.Restart())
			nextAfter(number)
		case 5: // to a replica with all data; the term may survive
			old := s
			s = startServer()
			s.Do(t, "REPLICAOF", "127.0.0.1", old.Port())
			for _, p := range proxies {
				p.Blackhole(true)
			}
			for range 2 { // the server executes the last requests between the two waits
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
	for id, w := range fleet { // earlier leaders still campaign
		if id != (leader+1)%candidates {
			w.Kill()
		}
	}
	nextAfter(number)
	allSee(o.number.Load)
	fleet[(leader+1)%candidates].Kill()
	start := time.Now()
	allSee(func() int64 { return 0 })
	redistest.CheckDuration(t, "to observe a death in three processes", start, processTTL+poll, 600*time.Millisecond)
	t.Logf("%d terms in %d rounds", o.terms.Load(), rounds)
	if o.overlaps.Load() != 0 || o.terms.Load() < int64(rounds*2/3) {
		t.Errorf("%d overlaps in %d terms", o.overlaps.Load(), o.terms.Load())
	}
}
