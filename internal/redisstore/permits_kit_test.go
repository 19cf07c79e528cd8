package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// permits is one semaphore or reader/writer lock, and its server.
type permits struct {
	*rig                          // with the main key as its lock
	name                          lease.Name
	size                          int64
	main, holders, queue, waiters string
}

func newPermits(t *testing.T, rdb *redis.Client, name lease.Name, size int64) *permits {
	t.Helper()
	keys := must(keysFor(name))(t)
	key := func(i int) string { return keys[i].(string) }
	return &permits{newRig(t, rdb, name.Key), name, size, key(0), key(1), key(2), key(3)}
}

func semaphoreAt(key string) lease.Name { return lease.Name{Kind: lease.Semaphore, Key: key} }
func rwAt(key string) lease.Name        { return lease.Name{Kind: lease.RWMutex, Key: key} }

// eachSemaphore runs f with a semaphore of ten permits on each server.
func eachSemaphore(t *testing.T, f func(r *permits)) {
	eachServer(t, func(r *rig) { f(newPermits(r.T, r.rdb, semaphoreAt(r.lock), 10)) })
}

func eachRW(t *testing.T, f func(r *permits)) {
	eachServer(t, func(r *rig) { f(newPermits(r.T, r.rdb, rwAt(r.lock), lease.ExclusiveWeight)) })
}

// update returns request n of token, which keeps some permits and wants more. The want is new.
func (r *permits) update(token string, n, keep, want int64) lease.Request {
	rw := r.name.Kind == lease.RWMutex
	return lease.Request{
		Name: r.name, Token: token, TTL: lockTTL, HandoverTTL: grantTTL, Seq: n, Enqueue: true, Channel: channelOf(token),
		Keep: keep, Want: want, WantSeq: n, Size: r.size, WantShared: rw && want == 1, HeldShared: rw && keep == 1,
	}
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
	r.keepQueued(r.queue, r.waiters, token)
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
	check(r.T, r.Resize(r.Context(), r.name.Key, r.size, n))
}

// rewrite changes the record of token in a hash.
func (r *permits) rewrite(hash, token string, change func(fields []string)) {
	r.Helper()
	fields := strings.Split(r.rdb.HGet(r.Context(), hash, token).Val(), " ")
	if len(fields) < 7 {
		r.Fatalf("%s has no record of %s", hash, token)
	}
	change(fields)
	check(r.T, r.rdb.HSet(r.Context(), hash, token, strings.Join(fields, " ")).Err())
}

// expireHold makes the hold of token expire.
func (r *permits) expireHold(token string) { r.Helper(); r.setEnd(token, -time.Millisecond) }

// setEnd sets when the hold of token ends.
func (r *permits) setEnd(token string, in time.Duration) {
	r.Helper()
	ms := r.now().Add(in).UnixMilli()
	r.rewrite(r.main, token, func(fields []string) { fields[0] = fmt.Sprint(ms) })
	check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: float64(ms), Member: token}).Err())
}

// makeStale makes the waiter of token stale.
func (r *permits) makeStale(token string) { r.Helper(); r.setLastSeen(token, -lease.WaiterTTL) }

func (r *permits) setLastSeen(token string, fromNow time.Duration) {
	r.Helper()
	ms := r.now().Add(fromNow).UnixMilli()
	r.rewrite(r.waiters, token, func(fields []string) { fields[0] = fmt.Sprint(ms) })
}

// storedPermits is everything that the server stores for the permits.
type storedPermits struct {
	size, declared, used, waiting, last, life, at int64
	holds                                         map[string]record
	queue                                         []record
	zset                                          map[string]float64
}

// record is a hold or a waiter.
type record struct {
	token                                                        string
	expires, weight, ttl, seq, wantSeq, granted, base, at, grant int64
	shared                                                       bool
}

func (r *permits) stored() storedPermits {
	r.Helper()
	ctx := r.Context()
	s := storedPermits{holds: map[string]record{}, zset: map[string]float64{}}
	for token, text := range r.rdb.HGetAll(ctx, r.main).Val() {
		if token == "state" {
			r.scan(text, &s.size, &s.declared, &s.used, &s.waiting, &s.last, &s.life, &s.at)
			continue
		}
		s.holds[token] = r.parseHold(token, text)
	}
	for _, z := range r.rdb.ZRangeWithScores(ctx, r.holders, 0, -1).Val() {
		s.zset[z.Member.(string)] = z.Score
	}
	entries := r.rdb.HGetAll(ctx, r.waiters).Val()
	for _, token := range r.rdb.ZRange(ctx, r.queue, 0, -1).Val() {
		e := record{token: token}
		if text, ok := entries[token]; ok {
			e.shared = r.scan(text, &e.at, &e.seq, &e.grant, &e.ttl, &e.weight, &e.wantSeq)
		}
		s.queue = append(s.queue, e)
	}
	return s
}

func (r *permits) parseHold(token, text string) record {
	h := record{token: token}
	h.shared = r.scan(text, &h.expires, &h.weight, &h.ttl, &h.seq, &h.wantSeq, &h.granted, &h.base)
	return h
}

// scan parses numbers, and the flag behind them that means a shared hold.
func (r *permits) scan(text string, numbers ...*int64) (shared bool) {
	r.Helper()
	fields := strings.Fields(text)
	if fields[0] == string(r.name.Kind) {
		fields = fields[1:]
	}
	for i, n := range numbers {
		*n = must(strconv.ParseInt(fields[i], 10, 64))(r.T)
	}
	return len(fields) > len(numbers) && fields[len(numbers)] == "1"
}

// holdRemains checks that a hold got a TTL of ttl after the rig was made.
func (r *permits) holdRemains(what, token string, ttl time.Duration) {
	r.Helper()
	ms := r.stored().holds[token].expires - r.now().UnixMilli()
	r.remains(what, time.Duration(ms)*time.Millisecond, ttl)
}

// String lists the holds and the queue with their weights, as in "a=6 b+5".
func (s storedPermits) String() string {
	list := []string{}
	for _, token := range slices.SortedFunc(maps.Keys(s.holds), func(a, b string) int { return int(s.holds[a].base - s.holds[b].base) }) {
		list = append(list, fmt.Sprintf("%s=%d", short(token), s.holds[token].weight))
	}
	for _, e := range s.queue {
		list = append(list, fmt.Sprintf("%s+%d", short(e.token), e.weight))
	}
	return strings.Join(list, " ")
}

func short(token string) string { return token[strings.LastIndexByte(token, ':')+1:] }

// checkState checks the holds and the queue.
func (r *permits) checkState(what, want string) {
	r.Helper()
	equal(r.T, what, r.stored().String(), want)
}

// backdateScore makes the hold of token look expired in the zset, as it does some time after a
// renewal.
func (r *permits) backdateScore(token string) {
	r.Helper()
	check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: 1, Member: token}).Err())
}

// setBack makes all stored times an hour later, as if the server's clock was set back by an hour.
func (r *permits) setBack() {
	r.Helper()
	later := func(i int) func(fields []string) {
		return func(fields []string) {
			fields[i] = fmt.Sprint(must(strconv.ParseInt(fields[i], 10, 64))(r.T) + time.Hour.Milliseconds())
		}
	}
	s := r.stored()
	for token := range s.holds {
		r.rewrite(r.main, token, later(0))
		check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: s.zset[token] + float64(time.Hour.Milliseconds()), Member: token}).Err())
	}
	for _, e := range s.queue {
		r.rewrite(r.waiters, e.token, later(0))
	}
	r.rewrite(r.main, "state", later(7))
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

// rows runs subtests one after the other, each on an empty server.
func (r *permits) rows(list map[string]func(*permits)) {
	rigs := map[string]func(*rig){}
	for name, f := range list {
		rigs[name] = func(row *rig) { f(newPermits(row.T, row.rdb, r.name, r.size)) }
	}
	r.rig.rows(rigs)
}
