package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

const (
	lockTTL  = 10 * time.Second
	grantTTL = lease.WaiterTTL // the TTL of a hand-over, as package lease requests it

	a, b, c, d, e = "baton:10000:a", "baton:10000:b", "baton:10000:c", "baton:10000:d", "baton:10000:e"
)

// rig is one lock and its server.
type rig struct {
	*testing.T
	*Store
	rdb                         *redis.Client
	lock, queue, waiters, fence string
	slow                        bool // acquire and release run slowAcquire and slowRelease
	made                        time.Time
}

func newRig(t *testing.T, rdb *redis.Client, key string) *rig {
	t.Helper()
	keys := must(keysFor(mutexAt(key)))(t)
	return &rig{t, NewStore(rdb), rdb, keys[0].(string), keys[1].(string), keys[2].(string), keys[3].(string), false, time.Now()}
}

func (r *rig) keys() []any { return []any{r.lock, r.queue, r.waiters, r.fence} }

func eachServer(t *testing.T, f func(r *rig)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) { f(newRig(t, rdb, "key")) })
}

// slowAcquire and slowRelease are the slow paths of mutex_acquire.lua and mutex_release.lua.
var (
	slowAcquire = load("lib/mutex_acquire_slow.lua")
	slowRelease = load("lib/mutex_release_slow.lua")
)

// eachPath runs f with the fast paths, and with the slow paths.
func eachPath(t *testing.T, f func(r *rig)) {
	eachServer(t, func(r *rig) {
		rows(r, map[string]bool{"fast": false, "slow": true}, func(r *rig, slow bool) { r.slow = slow; f(r) })
	})
}

// rows runs f as a subtest for each row, one after the other, each on an empty server.
func rows[R any](r *rig, list map[string]R, f func(r *rig, row R)) {
	for name, row := range list {
		r.Run(name, func(t *testing.T) {
			check(t, r.rdb.FlushAll(t.Context()).Err())
			empty := newRig(t, r.rdb, r.lock)
			empty.slow = r.slow
			f(empty, row)
		})
	}
}

// realRig is a rig on a redis-server of its own.
func realRig(t *testing.T, args ...string) (*rig, *redistest.Server) {
	t.Parallel()
	s := redistest.Start(t, args...)
	return newRig(t, s.Client(t), "key"), s
}

// with returns the same lock, used through another client.
func (r *rig) with(rdb *redis.Client) *rig {
	another := newRig(r.T, rdb, r.lock)
	another.made = r.made
	return another
}

func channelOf(token string) string { return "to:" + token }

func (r *rig) request(token string, n int64) lease.Request {
	return lease.Request{Name: mutexAt(r.lock), Token: token, TTL: lockTTL, HandoverTTL: grantTTL, Seq: n, Enqueue: n > 0, Channel: channelOf(token)}
}

// acquire sends request n of token; 0 is a try.
func (r *rig) acquire(token string, n int64) lease.Reply {
	r.Helper()
	if r.slow {
		_, args := acquireMutex(nil, r.request(token, n))
		if len(args) == 3 {
			args = append(args, 0, "") // no record
		}
		return must(mutexReply(must(r.transport.run(r.Context(), slowAcquire, r.keys(), args))(r.T)))(r.T)
	}
	return must(r.Acquire(r.Context(), r.request(token, n)))(r.T)
}

// yield releases from, and queues token.
func (r *rig) yield(from, token string, n int64) lease.Reply {
	r.Helper()
	q := r.request(token, n)
	q.Replaces = from
	return must(r.Acquire(r.Context(), q))(r.T)
}

func (r *rig) release(token string) (owned bool) {
	r.Helper()
	if r.slow {
		return must(parseInt(must(r.transport.run(r.Context(), slowRelease, r.keys(), []any{token}))(r.T)))(r.T) == 1
	}
	return must(r.Release(r.Context(), mutexAt(r.lock), token))(r.T)
}

func (r *rig) renew(token string) (held bool) {
	r.Helper()
	got := renewAll(r, []lease.Renewal{{Name: mutexAt(r.lock), Token: token, TTL: lockTTL}})
	return must(got[0].Held, got[0].Err)(r.T)
}

// held makes owner the owner, and queues the others in order.
func (r *rig) held(owner string, waiting ...string) {
	r.Helper()
	equal(r.T, "the owner's request", outcome(r.acquire(owner, 1)), "granted")
	for _, w := range waiting {
		equal(r.T, "a waiter's request", outcome(r.acquire(w, 1)), "wait")
		r.keepQueued(w)
	}
}

// keepQueued makes a waiter and its queue last for an hour, longer than any test.
func (r *rig) keepQueued(token string) {
	r.Helper()
	r.setLastSeen(token, time.Hour)
	check(r.T, r.rdb.PExpire(r.Context(), r.queue, time.Hour).Err())
	check(r.T, r.rdb.PExpire(r.Context(), r.waiters, time.Hour).Err())
}

// makeStale makes the waiter of token stale.
func (r *rig) makeStale(token string) { r.Helper(); r.setLastSeen(token, -lease.WaiterTTL) }

// setLastSeen sets the time of the last request of token.
func (r *rig) setLastSeen(token string, fromNow time.Duration) {
	r.Helper()
	r.rewrite(r.waiters, token, 0, r.now().Add(fromNow).UnixMilli())
}

// rewrite sets the i-th field of the record of token in a hash.
func (r *rig) rewrite(hash, token string, i int, value int64) {
	r.Helper()
	fields := strings.Split(r.rdb.HGet(r.Context(), hash, token).Val(), " ")
	if len(fields) < max(i+1, 2) {
		r.Fatalf("%s has no record of %s", hash, token)
	}
	fields[i] = strconv.FormatInt(value, 10)
	check(r.T, r.rdb.HSet(r.Context(), hash, token, strings.Join(fields, " ")).Err())
}

// expireLock does what the end of the lock's TTL does.
func (r *rig) expireLock() { r.Helper(); check(r.T, r.rdb.Del(r.Context(), r.lock).Err()) }

// now returns the server's time, which has nanoseconds on miniredis only.
func (r *rig) now() time.Time { r.Helper(); return must(r.rdb.Time(r.Context()).Result())(r.T) }

func (r *rig) owner() string { return r.rdb.Get(r.Context(), r.lock).Val() }

// last returns the last fence base.
func (r *rig) last() int64 {
	n, _ := strconv.ParseInt(r.rdb.Get(r.Context(), r.fence).Val(), 10, 64)
	return n
}

func (r *rig) waiting() string {
	r.Helper()
	return strings.Join(must(r.rdb.ZRange(r.Context(), r.queue, 0, -1).Result())(r.T), " ")
}

func (r *rig) pttl(key string) time.Duration { return r.rdb.PTTL(r.Context(), key).Val() }

// expiry checks that the key got a TTL of ttl after the rig was made.
func (r *rig) expiry(key string, ttl time.Duration) {
	r.Helper()
	r.remains(key, r.pttl(key), ttl)
}

// remains checks what remains of a TTL that began after the rig was made.
func (r *rig) remains(what string, left, ttl time.Duration) {
	r.Helper()
	if left > ttl || left < ttl-time.Since(r.made)-2*time.Millisecond {
		r.Errorf("%s: %v remaining, want %v", what, left, ttl)
	}
}

// dump returns everything that the server stores, except TTLs.
func (r *rig) dump() string {
	r.Helper()
	ctx, lines := r.Context(), []string{}
	for _, key := range must(r.rdb.Keys(ctx, "*").Result())(r.T) {
		var value any
		switch kind := r.rdb.Type(ctx, key).Val(); kind {
		case "string":
			value = r.rdb.Get(ctx, key).Val()
		case "list":
			value = r.rdb.LRange(ctx, key, 0, -1).Val()
		case "hash":
			value = r.rdb.HGetAll(ctx, key).Val() // fmt sorts it
		case "set":
			value = sorted(r.rdb.SMembers(ctx, key).Val()...)
		case "zset":
			value = r.rdb.ZRangeWithScores(ctx, key, 0, -1).Val()
		}
		lines = append(lines, fmt.Sprintf("%q: %q", key, fmt.Sprint(value)))
	}
	return strings.Join(sorted(lines...), "\n")
}

func sorted(s ...string) []string { slices.Sort(s); return s }

// unchanged checks that f stores nothing and deletes nothing.
func (r *rig) unchanged(what string, f func()) {
	r.Helper()
	before := r.dump()
	f()
	if after := r.dump(); after != before {
		r.Errorf("%s changed\n%s\nto\n%s", what, before, after)
	}
}

// published returns the messages that are published while f runs, as "channel: payload". It publishes
// a last message to find the end.
func (r *rig) published(f func()) []string {
	r.Helper()
	sub := r.rdb.PSubscribe(r.Context(), "*")
	defer sub.Close()
	must(sub.Receive(r.Context()))(r.T)
	f()
	check(r.T, r.rdb.Publish(r.Context(), "the end", "").Err())
	list := []string{}
	for {
		m := must(sub.ReceiveMessage(r.Context()))(r.T)
		if m.Channel == "the end" {
			return list
		}
		list = append(list, m.Channel+": "+m.Payload)
	}
}

// outcome describes a reply without its numbers.
func outcome(r lease.Reply) string {
	switch {
	case r.Granted:
		return "granted"
	case r.Lost:
		return "lost"
	case r.ForeignOwner:
		return "foreign"
	}
	return "wait"
}

// class names the class of an error, by which callers decide.
func class(err error) string {
	switch {
	case err == nil:
		return "nil"
	case retry.IsDenied(err):
		return "denied"
	case retry.IsPermanent(err):
		return "permanent"
	case retry.IsUnknown(err):
		return "unknown"
	}
	return "passing"
}

// expect checks the class of an error, and that it contains the server's text.
func expect(t *testing.T, what string, err error, wantClass, words string) {
	t.Helper()
	if class(err) != wantClass || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %s error %v, want %s with %q", what, class(err), err, wantClass, words)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func mutexAt(key string) lease.Name { return lease.Name{Kind: lease.Mutex, Key: key} }

// renewAll renews the claims, and returns their results.
func renewAll(s interface {
	Renew([]lease.Renewal, func(int) bool, func(int, lease.RenewResult))
}, claims []lease.Renewal) []lease.RenewResult {
	all := make([]lease.RenewResult, len(claims))
	var wg sync.WaitGroup
	wg.Add(len(claims))
	s.Renew(claims, func(int) bool { return true }, func(i int, r lease.RenewResult) {
		all[i] = r
		wg.Done()
	})
	wg.Wait()
	return all
}
