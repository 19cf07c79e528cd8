package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// stateTTL is how long the keys of permits outlive their last use.
const stateTTL = 65 * time.Minute

const exclusive = lease.ExclusiveWeight

// permits is one semaphore or reader/writer lock, and its server. It has its holds at the rig's lock key.
type permits struct {
	*rig
	name    lease.Name
	size    int64
	holders string
}

func newPermits(t *testing.T, rdb *redis.Client, name lease.Name, size int64) *permits {
	t.Helper()
	keys := must(keysFor(name))(t)
	return &permits{newRig(t, rdb, name.Key), name, size, keys[1].(string)}
}

func semaphoreAt(key string) lease.Name { return lease.Name{Kind: lease.Semaphore, Key: key} }
func rwAt(key string) lease.Name        { return lease.Name{Kind: lease.RWMutex, Key: key} }

func (r *rig) semaphore() *permits { return newPermits(r.T, r.rdb, semaphoreAt(r.lock), 10) }
func (r *rig) rwMutex() *permits   { return newPermits(r.T, r.rdb, rwAt(r.lock), exclusive) }

// eachSemaphore runs f with a semaphore of ten permits on each server.
func eachSemaphore(t *testing.T, f func(r *permits)) {
	eachServer(t, func(r *rig) { f(r.semaphore()) })
}

// update returns request n of token, which keeps some permits and wants more. The want is new.
func (r *permits) update(token string, n, keep, want int64) lease.Request {
	rw := r.name.Kind == lease.RWMutex
	return lease.Request{
		Name: r.name, Token: token, TTL: lockTTL, HandoverTTL: grantTTL, Seq: n, Enqueue: true, Channel: channelOf(token),
		Keep: keep, Want: want, WantSeq: n, Size: r.size, WantShared: rw && want == 1, HeldShared: rw && keep == 1,
	}
}

// again returns request n of token, which repeats the want of the request first.
func (r *permits) again(token string, n, first, keep, want int64) lease.Request {
	q := r.update(token, n, keep, want)
	q.WantSeq = first
	return q
}

// try is update for a request that does not queue.
func (r *permits) try(token string, n, keep, want int64) lease.Request {
	q := r.update(token, n, keep, want)
	q.Enqueue = false
	return q
}

func (r *permits) send(q lease.Request) lease.Reply {
	r.Helper()
	return must(r.Acquire(r.Context(), q))(r.T)
}

func (r *permits) state(token string, n, keep, want int64) lease.Reply {
	r.Helper()
	return r.send(r.update(token, n, keep, want))
}

// has makes token acquire weight permits.
func (r *permits) has(token string, weight int64) {
	r.Helper()
	equal(r.T, token+"'s request", outcome(r.state(token, 1, 0, weight)), "granted")
}

// waits queues token for want permits.
func (r *permits) waits(token string, want int64) {
	r.Helper()
	equal(r.T, token+"'s request", outcome(r.state(token, 1, 0, want)), "wait")
	r.keepQueued(token)
}

func (r *permits) release(token string) (owned bool) {
	r.Helper()
	return must(r.Release(r.Context(), r.name, token))(r.T)
}

func (r *permits) renew(token string, ttl time.Duration) lease.RenewResult {
	r.Helper()
	got := renewAll(r, []lease.Renewal{{Name: r.name, Token: token, TTL: ttl}})[0]
	check(r.T, got.Err)
	return got
}

func (r *permits) resize(n int64) {
	r.Helper()
	check(r.T, r.Resize(r.Context(), r.lock, r.size, n))
}

// expireHold makes the hold of token expire.
func (r *permits) expireHold(token string) { r.Helper(); r.setEnd(token, -time.Millisecond) }

// setEnd sets when the hold of token ends.
func (r *permits) setEnd(token string, in time.Duration) {
	r.Helper()
	ms := r.now().Add(in).UnixMilli()
	r.rewrite(r.lock, token, 0, ms)
	r.setScore(token, ms)
}

func (r *permits) setScore(token string, ms int64) {
	r.Helper()
	check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: float64(ms), Member: token}).Err())
}

// backdateScore makes the hold of token look expired in the zset, as it does some time after a renewal.
func (r *permits) backdateScore(token string) { r.Helper(); r.setScore(token, 1) }

// setBack makes all stored times an hour later, as if the server's clock was set back by an hour.
func (r *permits) setBack() {
	r.Helper()
	s, hour := r.stored(), time.Hour.Milliseconds()
	for token, h := range s.holds {
		r.rewrite(r.lock, token, 0, h.expires+hour)
		r.setScore(token, int64(s.zset[token])+hour)
	}
	for _, w := range s.queue {
		r.rewrite(r.waiters, w.token, 0, w.at+hour)
	}
	r.rewrite(r.lock, "state", 7, s.at+hour)
}

// storedPermits is everything that the server stores for the permits.
type storedPermits struct {
	size, declared, used, waiting, last, life, at int64
	holds                                         map[string]storedHold
	queue                                         []storedWaiter
	zset                                          map[string]float64
}

type storedHold struct{ expires, weight, ttl, seq, wantSeq, granted, base, shared int64 }

type storedWaiter struct {
	token                       string
	at, seq, grant, ttl, weight int64
}

func (r *permits) stored() storedPermits {
	ctx := r.Context()
	s := storedPermits{holds: map[string]storedHold{}, zset: map[string]float64{}}
	for token, text := range r.rdb.HGetAll(ctx, r.lock).Val() {
		if kind := ""; token == "state" {
			_, _ = fmt.Sscan(text, &kind, &s.size, &s.declared, &s.used, &s.waiting, &s.last, &s.life, &s.at)
			continue
		}
		var h storedHold
		_, _ = fmt.Sscan(text, &h.expires, &h.weight, &h.ttl, &h.seq, &h.wantSeq, &h.granted, &h.base, &h.shared)
		s.holds[token] = h
	}
	for _, z := range r.rdb.ZRangeWithScores(ctx, r.holders, 0, -1).Val() {
		s.zset[z.Member.(string)] = z.Score
	}
	records := r.rdb.HGetAll(ctx, r.waiters).Val()
	for _, token := range strings.Fields(r.waiting()) {
		w := storedWaiter{token: token}
		_, _ = fmt.Sscan(records[token], &w.at, &w.seq, &w.grant, &w.ttl, &w.weight)
		s.queue = append(s.queue, w)
	}
	return s
}

// holdRemains checks that a hold got a TTL of ttl after the rig was made.
func (r *permits) holdRemains(what, token string, ttl time.Duration) {
	r.Helper()
	ms := r.stored().holds[token].expires - r.now().UnixMilli()
	r.remains(what, time.Duration(ms)*time.Millisecond, ttl)
}

// String lists the holds and the queue with their weights, as in "a=6 b+5". W is a writer's weight.
func (s storedPermits) String() string {
	list := []string{}
	for _, token := range slices.SortedFunc(maps.Keys(s.holds), func(a, b string) int { return int(s.holds[a].base - s.holds[b].base) }) {
		list = append(list, fmt.Sprintf("%s=%d", short(token), s.holds[token].weight))
	}
	for _, w := range s.queue {
		list = append(list, fmt.Sprintf("%s+%d", short(w.token), w.weight))
	}
	return strings.ReplaceAll(strings.Join(list, " "), fmt.Sprint(int64(exclusive)), "W")
}

func short(token string) string { return token[strings.LastIndexByte(token, ':')+1:] }

// checkState checks the holds and the queue.
func (r *permits) checkState(what, want string) {
	r.Helper()
	equal(r.T, what, r.stored().String(), want)
}
