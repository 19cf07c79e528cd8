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

// maxCommands is how many commands one script may execute. The longest ends BATCH holds, with
// 4 commands each, and lets in BATCH waiters, with 8.
const maxCommands = 900

// few is how many others leave something behind where the work is seen to its end.
const few = 1000

// A meter is a store that counts the commands that each of its scripts executes.
type meter struct {
	*rig
	p      *permits
	g      *group
	server *redistest.Server
	values *lease.ValueReader // of until
	n      int64              // that others have left behind
	runs   int
	enough int   // runs with more than few left behind
	most   int64 // commands of a script
}

// Process is that of a road. With very many left behind it ends the work after some scripts.
func (m *meter) Process(ctx context.Context, cmd redis.Cmder) (err error) {
	if m.runs++; m.n > few && m.runs > m.enough {
		err = errors.New("enough")
		cmd.SetErr(err)
		return err
	}
	m.count(func() { err = m.rdb.Process(ctx, cmd) })
	return err
}

// ends checks how the work ends.
func ends[V comparable](m *meter, what string, got, want V) {
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

// until asks as token until that is granted, or until Redis does not say that it is to ask
// again at once.
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
	m.Fatal("it is to ask again for ever")
	return reply
}

// leavesValue has a, the owner, release the mutex with a value.
func (m *meter) leavesValue(useful bool) {
	outcome, owned := m.releaseValue(a, "v", func(w *lease.ValueWrite) { w.Useful = useful })
	ends(m, "released", owned && outcome == lease.ValueStored, true)
}

func (m *meter) look() taskgroup.Generation {
	r, err := m.GroupStatus(m.Context(), m.g.key, 0)
	if m.n == few {
		check(m.T, err)
	}
	return r
}

func (m *meter) stands(what, want string) { m.Helper(); ends(m, what, m.p.stored().String(), want) }

func (m *meter) card(key string) int64 {
	n, _ := m.server.Do(m.T, "ZCARD", key).(int64)
	return n
}

// What others have left behind, in Lua: entry i of n, and what comes after the last. now is
// the server's time.
const (
	mutexWaiters = `redis.call('ZADD', KEYS[2], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[3], 'baton:1000:' .. i, '1 1 1000 nowhere key')`
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

// TestScriptsAreBounded runs the scripts on what a thousand others have left behind, and on what
// ten thousand have, in the matrix a hundred thousand: waiters that died, holders, tasks and
// operations. No script does more for it; what one leaves, the next goes on with.
func TestScriptsAreBounded(t *testing.T) {
	t.Parallel()
	timed, most, enough := os.Getenv(redistest.TimedEnv) != "", int64(10*few), 20
	if timed {
		most, enough = 100*few, 200
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
			m.seen(b, m.now().Add(time.Hour).UnixMilli()) // however long this takes
			ends(m, "released", m.release(a), true)
			ends(m, "owner", m.owner(), b)
			ends(m, "waiters", m.card(m.queue), 0)
		}},
		{"mutex/release after a death", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			ends(m, "released", m.release(a), true)
			ends(m, "waiters", m.card(m.queue), 0)
		}},
		{"mutex/acquire", mutex, mutexWaiters, "", nil, func(m *meter) {
			ends(m, "granted", m.until(b, 1).Granted, true)
			ends(m, "waiters", m.card(m.queue), 0)
		}},
		{"mutex/yield", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			ends(m, "yield", outcome(m.yield(a, b, 1)), "granted")
		}},
		{"mutex/inspect", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.inspects(func(status lease.Status) bool { return status.Holders[0].Token == a && status.Waiters == int(m.n)-1000 })
		}},
		{"value/acquire", mutex, mutexWaiters, "", nil, func(m *meter) {
			m.values = new(lease.ValueReader)
			ends(m, "granted", m.until(b, 1).Granted, true)
			ends(m, "waiters", m.card(m.queue), 0)
		}},
		{"value/found", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.acquire(b, 1)
			m.leavesValue(true)
			m.values = new(lease.ValueReader)
			told := m.server.Stats(m.T)
			ends(m, "found", m.until(b, 1).Found, true)
			ends(m, "told", m.server.Stats(m.T).Since(told).Published(), 1) // the next behind the first batch
		}},
		{"value/release", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			m.leavesValue(false)
			ends(m, "waiters", m.card(m.queue), 0)
		}},
		{"value/release with a value for all", mutex, mutexWaiters, "", func(m *meter) { m.held(a) }, func(m *meter) {
			told := m.server.Stats(m.T)
			m.leavesValue(true)
			ends(m, "told", m.server.Stats(m.T).Since(told).Published(), 64)
			ends(m, "waiters", m.card(m.queue), m.n)
		}},
		{"semaphore/release", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.p.waits(b, 10)
			ends(m, "released", m.p.release(a), true)
			m.stands("then", "b=10")
		}},
		{"semaphore/acquire", semaphore, waiters, inUse(semaphore, 10, "0", "1"), nil, func(m *meter) {
			ends(m, "granted", m.until(b, 10).Granted, true)
		}},
		{"semaphore/lower", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.p.waits(b, 9)
			m.p.state(a, 2, 1, 0)
			m.stands("then", "a=1 b=9")
		}},
		{"semaphore/resize", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.p.waits(b, 1)
			m.p.resize(11)
			m.stands("then", "a=10 b=1")
		}},
		{"semaphore/inspect waiters", semaphore, waiters, "", func(m *meter) { m.p.has(a, 10) }, func(m *meter) {
			m.inspects(func(status lease.Status) bool { return status.Used == 10 && status.Waiters == int(m.n)-1000 })
		}},
		{"semaphore/holders that ran out", semaphore, fmt.Sprintf(holds, "1"), inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
			m.p.size = 1 << 30
			ends(m, "granted", m.until(b, m.p.size).Granted, true)
			ends(m, "used", m.p.stored().used, m.p.size)
		}},
		{"semaphore/holders that were renewed", semaphore, fmt.Sprintf(holds, "now + 1000000") + "\nredis.call('ZADD', KEYS[2], 1, 'baton:1000000:' .. i)",
			inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
				m.p.size = 1 << 30
				ends(m, "granted", m.until(b, m.p.size).Granted, false)
				ends(m, "early", m.rdb.ZCount(m.Context(), m.p.holders, "0", "1").Val(), 0)
			}},
		{"semaphore/zset lost", semaphore, fmt.Sprintf(holds, "now + 1000000"), inUse(semaphore, 1<<30, "n", "now") + "\nredis.call('UNLINK', KEYS[2])", nil, func(m *meter) {
			m.p.size = 1 << 30
			ends(m, "granted", m.until(b, m.p.size).Granted, false)
			ends(m, "in the zset", m.card(m.p.holders), m.n)
			ends(m, "used", m.p.stored().used, m.n)
		}},
		{"semaphore/clock set back", semaphore, fmt.Sprintf(holds, "now + 10000000"), inUse(semaphore, 1<<30, "n", "now + 9000000"), nil, func(m *meter) {
			m.p.size = 1 << 30
			if reply := m.until(b, m.p.size); reply.Granted || reply.Remaining > 1000*time.Second {
				m.Errorf("%+v", reply)
			}
			ends(m, "in the zset", m.card(m.p.holders), m.n)
		}},
		{"semaphore/inspect holders", semaphore, fmt.Sprintf(holds, "now + 1000000"), inUse(semaphore, 1<<30, "n", "now"), nil, func(m *meter) {
			m.inspects(func(status lease.Status) bool {
				return status.Used == m.n && int64(len(status.Holders))+status.MoreHolders == m.n && len(status.Holders) >= 999 && len(status.Holders) < 1200
			})
		}},
		{"rw/readers are told", rw, fmt.Sprintf(holds, "now + 1000000"), inUse(rw, lease.ExclusiveWeight, "n", "now"), nil, func(m *meter) {
			told := m.server.Stats(m.T)
			m.until(b, lease.ExclusiveWeight)
			ends(m, "told", m.server.Stats(m.T).Since(told).Published(), m.n)
		}},
		{"rw/readers are let in", rw, liveReaders, "", func(m *meter) { m.p.has(a, lease.ExclusiveWeight) }, func(m *meter) {
			told := m.server.Stats(m.T)
			ends(m, "released", m.p.release(a), true)
			ends(m, "told", m.server.Stats(m.T).Since(told).Published(), m.n)
			ends(m, "inside", m.card(m.p.holders), m.n)
		}},
		{"rw/readers are let in with others", rw, liveReaders, "", func(m *meter) { m.p.has(a, lease.ExclusiveWeight) }, func(m *meter) {
			m.p.state(a, 2, 1, 0)
			ends(m, "inside", m.card(m.p.holders), m.n+1)
		}},
		{"group/look", wait, fmt.Sprintf(task, "1"), oneGeneration, nil, func(m *meter) {
			ends(m, "left", m.look().Remaining, 1)
			m.runs = 0
			m.g.counts("s", taskgroup.OpAdd, -1)
			r := m.look()
			ends(m, "lost", r.Abandoned[r.Number], m.n)
		}},
		{"group/change", wait, fmt.Sprintf(task, "1"), oneGeneration, nil, func(m *meter) { m.g.counts("s", taskgroup.OpAdd, 1) }},
		{"group/clock set back", wait, fmt.Sprintf(task, "now + 10000000"), oneGeneration, nil, func(m *meter) {
			ends(m, "left", m.look().Remaining, m.n+1)
			last := m.rdb.ZRevRangeWithScores(m.Context(), "key", 0, 0).Val()[0]
			if m.n == few && int64(last.Score) > m.now().Add(1000*time.Second).UnixMilli() {
				m.Errorf("%v lives too long", last)
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
				equal(m.T, "answer", m.g.send(c), taskgroup.Applied)
			}
			kept := m.rdb.HLen(m.Context(), m.g.operations("s")).Val()
			ends(m, "records", kept, m.n/1000+1+1) // and the mark
		}},
		{"limiter", 0, "redis.call('SET', 'baton:{key}:reservation:' .. i, '1 1 1 1 1')", "", nil, func(m *meter) {
			m.count(func() {
				turn, err := m.Take(m.Context(), ratelimit.Reservation{Key: "key", ID: "id", N: 1, Rate: 1, Burst: 1, Finished: []string{"1", "2"}})
				ends(m, "taken", turn.Taken && err == nil, true)
			})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, n := range []int64{few, most} {
				// The server measures a script by the wall clock, which counts when measuring is
				// asked for. Now and then another process takes its processor.
				for attempt := 1; ; attempt++ {
					s.Do(t, "FLUSHALL", "ASYNC")
					m := newMeter(t, s, row.kind, n)
					m.enough = enough
					if row.before != nil {
						row.before(m)
					}
					fill := fmt.Sprintf("local n, now = tonumber(ARGV[1]), tonumber(ARGV[2])\nfor i = 1, n do\n%s\nend\n%s", row.each, row.after)
					args := []any{"EVAL", fill, len(m.keys())}
					s.Do(t, append(append(args, m.keys()...), n, m.now().UnixMilli())...)
					s.Do(t, "SLOWLOG", "RESET")
					row.do(m)
					redistest.CheckCount(t, fmt.Sprintf("the commands of a script, with %d left behind,", n), m.most, maxCommands)
					slow := slowScripts(t, s)
					if len(slow) <= m.runs/50 || t.Failed() || !timed {
						break
					}
					if attempt == 3 {
						t.Fatalf("with %d left behind, slow three times: %v", n, slow)
					}
				}
			}
		})
	}
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

// keys are those that are filled.
func (m *meter) keys() []any {
	switch m.p.name.Kind {
	case 0, taskgroup.Kind:
		return []any{"key", m.g.operations("s")}
	}
	keys, err := keysFor(m.p.name)
	check(m.T, err)
	return keys
}

// inspects checks what Inspect says.
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

// slowScripts returns the scripts that the server has found slow.
func slowScripts(t *testing.T, s *redistest.Server) (slow []string) {
	t.Helper()
	for _, entry := range s.Do(t, "SLOWLOG", "GET", "128").([]any) {
		if text := fmt.Sprint(entry); strings.Contains(text, "eval") {
			slow = append(slow, text)
		}
	}
	return slow
}
