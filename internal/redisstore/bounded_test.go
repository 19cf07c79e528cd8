package redisstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// maxCommands is how many commands one script may execute. The largest script expires BATCH holds, with
// 4 commands each, and grants BATCH waiters, with 8.
const maxCommands = 900

// few is the number of leftovers with which the work runs to its end.
const few = 1000

// A meter is a store that counts the commands that each of its scripts executes.
type meter struct {
	*rig
	p      *permits
	g      *group
	server *redistest.Server
	values *lease.ValueReader // for until
	n      int64              // number of leftovers
	runs   int
	most   int64 // commands of a script
}

// Process sends a command. With more than few leftovers it ends the work after 200 scripts.
func (m *meter) Process(ctx context.Context, cmd redis.Cmder) (err error) {
	if m.runs++; m.n > few && m.runs > 200 {
		err = errors.New("too many runs")
		cmd.SetErr(err)
		return err
	}
	m.count(func() { err = m.rdb.Process(ctx, cmd) })
	return err
}

// checkEnd checks the result of work that runs to its end.
func checkEnd[V comparable](m *meter, what string, got, want V) {
	m.Helper()
	if m.n == few {
		equal(m.T, what, got, want)
	}
}

// count counts the commands that f makes the server execute.
func (m *meter) count(f func()) {
	before := m.server.Stats(m.T)
	f()
	m.most = max(m.most, total(m.server.Stats(m.T).Since(before)))
}

// until sends requests of token until one is granted, or its reply does not require another one
// immediately.
func (m *meter) until(token string, want int64) (reply lease.Reply) {
	m.Helper()
	for n := int64(1); n < 10_000; n++ {
		q := m.p.update(token, n, 0, want)
		if q.WantSeq = 1; m.p.name.Kind == lease.Mutex {
			q = m.request(token, n)
			q.Value = m.values
		}
		reply, err := m.Acquire(m.Context(), q)
		if err != nil || reply.Granted || reply.Found || reply.Remaining != 0 {
			return reply
		}
	}
	m.Fatal("every reply requires another request")
	return reply
}

// leavesValue releases the mutex of a with a value.
func (m *meter) leavesValue(useful bool) {
	outcome, owned := m.releaseValue(a, "v", func(w *lease.ValueWrite) { w.Useful = useful })
	checkEnd(m, "released", owned && outcome == lease.ValueStored, true)
}

func (m *meter) status() taskgroup.Generation {
	r, err := m.GroupStatus(m.Context(), m.g.lock, 0)
	if m.n == few {
		check(m.T, err)
	}
	return r
}

func (m *meter) checkState(what, want string) {
	m.Helper()
	checkEnd(m, what, m.p.stored().String(), want)
}

func (m *meter) card(key string) int64 {
	n, _ := m.server.Do(m.T, "ZCARD", key).(int64)
	return n
}

// The leftovers in Lua: the i-th of n, and what is stored after the last. now is the server's time.
const (
	mutexWaiters = `redis.call('ZADD', KEYS[2], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[3], 'baton:1000:' .. i, '1 1 1000 nowhere key')`
	liveWaiters = `redis.call('ZADD', KEYS[2], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[3], 'baton:1000:' .. i, now + 3600000 .. ' 1 1000 nowhere key')`
	waiters = `redis.call('ZADD', KEYS[3], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[4], 'baton:1000:' .. i, '1 1 1000 1000 1 1 0 nowhere key')`
	liveReaders = `redis.call('ZADD', KEYS[3], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[4], 'baton:1000:' .. i, now + 1000000 .. ' 1 3600000 1000 1 1 1 nowhere key')`
	holds = `redis.call('HSET', KEYS[1], 'baton:1000000:' .. i, %s .. ' 1 1000000 1 1 1 1 1 nowhere')
		redis.call('ZADD', KEYS[2], %[1]s, 'baton:1000000:' .. i)`
	stateOf       = `redis.call('HSET', KEYS[1], 'state', '%c %d %[2]d ' .. %s .. ' 0 1 3900000 ' .. %s)`
	task          = `redis.call('ZADD', KEYS[1], %s, 'baton:1000000:' .. i)`
	oneGeneration = `redis.call('ZADD', KEYS[1], 0, 'generation 1000 count 1 abandoned 0 since 1000')`
)

// TestScriptsAreBounded runs the scripts on a thousand leftovers, in the matrix also on a hundred thousand:
// stale waiters, expired holders, tasks and operations. No script executes more commands for them. The
// next script goes on where one stops.
func TestScriptsAreBounded(t *testing.T) {
	t.Parallel()
	timed, sizes := os.Getenv(redistest.TimedEnv) != "", []int64{few}
	if timed {
		sizes = append(sizes, 100*few)
	}
	s := redistest.Start(t)
	s.Do(t, "CONFIG", "SET", "slowlog-log-slower-than", "10000")
	const semaphore, rw, mutex, wait = lease.Semaphore, lease.RWMutex, lease.Mutex, taskgroup.Kind
	inUse := func(kind lease.Kind, size int64, used, at string) string {
		return fmt.Sprintf(stateOf, kind, size, used, at)
	}
	for _, row := range []struct {
		name        string
		kind        lease.Kind
		each, after string
		before, do  func(m *meter)
	}{
		{"mutex/release", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.acquire(b, 1)
			m.acquire(b, 2)
			m.setLastSeen(b, time.Hour) // does not become stale
			checkEnd(m, "released", m.release(a), true)
			checkEnd(m, "owner", m.owner(), b)
			checkEnd(m, "waiters", m.card(m.queue), 0)
		}},
		{"mutex/acquire", mutex, mutexWaiters, "", nil, func(m *meter) {
			checkEnd(m, "granted", m.until(b, 1).Granted, true)
			checkEnd(m, "waiters", m.card(m.queue), 0)
		}},
		{"mutex/yield", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			checkEnd(m, "yield", outcome(m.yield(a, b, 1)), "granted")
		}},
		{"mutex/inspect", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.inspects(func(status lease.Status) bool { return status.Holders[0].Token == a && status.Waiters == int(m.n)-1000 })
		}},
		{"value/found", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.acquire(b, 1)
			m.leavesValue(true)
			m.values = new(lease.ValueReader)
			before := m.server.Stats(m.T)
			checkEnd(m, "found", m.until(b, 1).Found, true)
			checkEnd(m, "messages", m.server.Stats(m.T).Since(before).Published(), 1) // the first waiter behind the batch
		}},
		{"value/release", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.leavesValue(false)
			checkEnd(m, "waiters", m.card(m.queue), 0)
		}},
		{"value/release with a value for all", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			before := m.server.Stats(m.T)
			m.leavesValue(true)
			checkEnd(m, "messages", m.server.Stats(m.T).Since(before).Published(), 64)
			checkEnd(m, "waiters", m.card(m.queue), m.n)
		}},
		{"semaphore/release", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.p.waits(b, 10)
			checkEnd(m, "released", m.p.release(a), true)
			m.checkState("then", "b=10")
		}},
		{"semaphore/acquire", semaphore, waiters, inUse(semaphore, 10, "0", "1"), nil, func(m *meter) {
			checkEnd(m, "granted", m.until(b, 10).Granted, true)
		}},
		{"semaphore/resize", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.p.waits(b, 1)
			m.p.resize(11)
			m.checkState("then", "a=10 b=1")
		}},
		{"semaphore/inspect waiters", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.inspects(func(status lease.Status) bool { return status.Used == 10 && status.Waiters == int(m.n)-1000 })
		}},
		{"semaphore/expired holders", semaphore, fmt.Sprintf(holds, "1"), inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
			m.p.size = 1 << 30
			checkEnd(m, "granted", m.until(b, m.p.size).Granted, true)
			checkEnd(m, "used", m.p.stored().used, m.p.size)
		}},
		{"semaphore/renewed holders", semaphore, fmt.Sprintf(holds, "now + 1000000") + "\nredis.call('ZADD', KEYS[2], 1, 'baton:1000000:' .. i)",
			inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
				m.p.size = 1 << 30
				checkEnd(m, "granted", m.until(b, m.p.size).Granted, false)
				checkEnd(m, "due", m.rdb.ZCount(m.Context(), m.p.holders, "0", "1").Val(), 0)
			}},
		{"semaphore/zset lost", semaphore, fmt.Sprintf(holds, "now + 1000000"), inUse(semaphore, 1<<30, "n", "now") + "\nredis.call('UNLINK', KEYS[2])", nil, func(m *meter) {
			m.p.size = 1 << 30
			checkEnd(m, "granted", m.until(b, m.p.size).Granted, false)
			checkEnd(m, "in the zset", m.card(m.p.holders), m.n)
			checkEnd(m, "used", m.p.stored().used, m.n)
		}},
		{"semaphore/clock set back", semaphore, fmt.Sprintf(holds, "now + 10000000"), inUse(semaphore, 1<<30, "n", "now + 9000000"), nil, func(m *meter) {
			m.p.size = 1 << 30
			if reply := m.until(b, m.p.size); reply.Granted || reply.Remaining > 1000*time.Second {
				m.Errorf("%+v", reply)
			}
			checkEnd(m, "in the zset", m.card(m.p.holders), m.n)
		}},
		{"semaphore/inspect holders", semaphore, fmt.Sprintf(holds, "now + 1000000"), inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
			m.inspects(func(status lease.Status) bool {
				return status.Used == m.n && int64(len(status.Holders))+status.MoreHolders == m.n && len(status.Holders) >= 999 && len(status.Holders) < 1200
			})
		}},
		{"rw/readers are notified", rw, fmt.Sprintf(holds, "now + 1000000"), inUse(rw, lease.ExclusiveWeight, "n", "now"), nil, func(m *meter) {
			before := m.server.Stats(m.T)
			m.until(b, lease.ExclusiveWeight)
			checkEnd(m, "messages", m.server.Stats(m.T).Since(before).Published(), m.n)
		}},
		{"rw/readers are granted", rw, liveReaders, "", func(m *meter) { m.p.has(a, lease.ExclusiveWeight) }, func(m *meter) {
			before := m.server.Stats(m.T)
			checkEnd(m, "released", m.p.release(a), true)
			checkEnd(m, "messages", m.server.Stats(m.T).Since(before).Published(), m.n)
			checkEnd(m, "holders", m.card(m.p.holders), m.n)
		}},
		{"rw/readers are granted with the releaser", rw, liveReaders, "", func(m *meter) { m.p.has(a, lease.ExclusiveWeight) }, func(m *meter) {
			m.p.state(a, 2, 1, 0)
			checkEnd(m, "holders", m.card(m.p.holders), m.n+1)
		}},
		{"group/status", wait, fmt.Sprintf(task, "1"), oneGeneration, nil, func(m *meter) {
			checkEnd(m, "remaining", m.status().Remaining, 1)
			m.runs = 0
			m.g.applies("s", taskgroup.OpAdd, -1)
			r := m.status()
			checkEnd(m, "abandoned", r.Abandoned[r.Number], m.n)
		}},
		{"group/update", wait, fmt.Sprintf(task, "1"), oneGeneration, nil, func(m *meter) { m.g.applies("s", taskgroup.OpAdd, 1) }},
		{"group/clock set back", wait, fmt.Sprintf(task, "now + 10000000"), oneGeneration, nil, func(m *meter) {
			checkEnd(m, "remaining", m.status().Remaining, m.n+1)
			last := m.rdb.ZRevRangeWithScores(m.Context(), "key", 0, 0).Val()[0]
			if m.n == few && int64(last.Score) > m.now().Add(1000*time.Second).UnixMilli() {
				m.Errorf("the TTL of %v is too long", last)
			}
		}},
		{"group/inspect", wait, fmt.Sprintf(task, "now + 1000000"), oneGeneration, nil, func(m *meter) {
			m.count(func() {
				status, err := m.InspectGroup(m.Context(), "key")
				if err != nil || status.Count != 1 || len(status.Tasks) != 1000 || status.MoreTasks != m.n-1000 {
					m.Errorf("%d, %d tasks and %d more, %v", status.Count, len(status.Tasks), status.MoreTasks, err)
				}
			})
		}},
		{"group/operations", wait, "redis.call('HSET', KEYS[2], i, '1 add 0 1')", oneGeneration, nil, func(m *meter) {
			m.g.numbers["s"] = m.n
			for range m.n/1000 + 1 {
				c := m.g.next("s", taskgroup.OpAdd, 1)
				c.AckedThrough = m.n
				equal(m.T, "outcome", m.g.send(c), taskgroup.Applied)
			}
			kept := m.rdb.HLen(m.Context(), m.g.operations("s")).Val()
			checkEnd(m, "records", kept, m.n/1000+1+1) // one for acked
		}},
		{"limiter", 0, "redis.call('SET', 'baton:{key}:reservation:' .. i, '1 1 1 1 1')", "", nil, func(m *meter) {
			m.count(func() {
				result, err := m.Take(m.Context(), ratelimit.Reservation{Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Finished: []string{"1", "2"}})
				checkEnd(m, "taken", result.Taken && err == nil, true)
			})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, n := range sizes {
				// The server measures a script by the wall clock, so that other processes can slow it
				// down. Timed runs are repeated.
				for attempt := 1; ; attempt++ {
					s.Do(t, "FLUSHALL", "ASYNC")
					m := newMeter(t, s, row.kind, n)
					if row.before != nil {
						row.before(m)
					}
					fill(t, s, row.each, row.after, m.keys(), n)
					s.Do(t, "SLOWLOG", "RESET")
					row.do(m)
					redistest.CheckCount(t, fmt.Sprintf("the commands of a script, with %d leftovers,", n), m.most, maxCommands)
					slow := slowScripts(t, s)
					if len(slow) <= m.runs/50 || t.Failed() || !timed {
						break
					}
					if attempt == 3 {
						t.Fatalf("with %d leftovers, slow three times: %v", n, slow)
					}
				}
			}
		})
	}
}

// fill runs each for 1 to n, and then after.
func fill(t *testing.T, s *redistest.Server, each, after string, keys []any, n int64) {
	t.Helper()
	text := fmt.Sprintf("local n, now = tonumber(ARGV[1]), tonumber(ARGV[2])\nfor i = 1, n do\n%s\nend\n%s", each, after)
	args := append([]any{"EVAL", text, len(keys)}, keys...)
	s.Do(t, append(args, n, time.Now().UnixMilli())...)
}

func newMeter(t *testing.T, s *redistest.Server, kind lease.Kind, n int64) *meter {
	rdb, size := s.Client(t), int64(10)
	if kind == lease.RWMutex {
		size = lease.ExclusiveWeight
	}
	m := &meter{rig: newRig(t, rdb, "key"), server: s, n: n, p: newPermits(t, rdb, lease.Name{Kind: kind, Key: "key"}, size), g: newGroup(t, rdb, "key")}
	m.transport.single, m.p.rig, m.g.rig = &pipeliner{process: m.Process}, m.rig, m.rig
	return m
}

// keys returns the keys of the leftovers.
func (m *meter) keys() []any {
	switch m.p.name.Kind {
	case 0, taskgroup.Kind:
		return []any{"key", m.g.operations("s")}
	}
	keys, err := keysFor(m.p.name)
	check(m.T, err)
	return keys
}

// inspects checks the result of Inspect.
func (m *meter) inspects(ok func(lease.Status) bool) {
	m.Helper()
	m.count(func() {
		status, err := m.Inspect(m.Context(), m.p.name)
		if err != nil || !ok(status) {
			status.Holders = status.Holders[:min(len(status.Holders), 3)]
			m.Errorf("%+v, %v", status, err)
		}
	})
}

// slowScripts returns the scripts in the server's slow log.
func slowScripts(t *testing.T, s *redistest.Server) (slow []string) {
	t.Helper()
	for _, entry := range s.Do(t, "SLOWLOG", "GET", "128").([]any) {
		if text := fmt.Sprint(entry); strings.Contains(text, "eval") {
			slow = append(slow, text)
		}
	}
	return slow
}

// TestManyWaiters counts the commands to queue a waiter and to hand over, with very many waiters (row 53).
// They must be as many as with ten waiters.
func TestManyWaiters(t *testing.T) {
	t.Parallel()
	work := func(waiters int64) (queued, released int64) {
		s := redistest.Start(t)
		r := newRig(t, s.Client(t, redistest.Patient), "key")
		r.held(a)
		r.release(a)
		r.held(a, b)
		r.release(b)
		fill(t, s, liveWaiters, "", r.keys(), waiters)
		before := s.Stats(t)
		r.acquire(b, 1)
		queued = total(s.Stats(t).Since(before))
		before = s.Stats(t)
		r.release(a)
		return queued, total(s.Stats(t).Since(before))
	}
	few, fewReleased := work(10)
	n := int64(10_000)
	if os.Getenv(redistest.TimedEnv) != "" {
		n = 100_000
	}
	many, manyReleased := work(n)
	redistest.CheckCount(t, fmt.Sprintf("the commands to queue behind %d", n), many, few)
	redistest.CheckCount(t, fmt.Sprintf("the commands to hand over to one of %d", n), manyReleased, fewReleased)
}

// total returns how many commands the server has executed, including those of scripts.
func total(spent redistest.Stats) (n int64) {
	for _, calls := range spent.Calls {
		n += calls
	}
	return n
}
