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
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// permits is one semaphore or reader/writer lock, and the server it is on.
type permits struct {
	*rig                          // with the main key as its lock
	name                          lease.Name
	size                          int64
	main, holders, queue, waiters string
}

func newPermits(t *testing.T, rdb *redis.Client, name lease.Name, size int64) *permits {
	t.Helper()
	keys, err := keysFor(name)
	check(t, err)
	key := func(i int) string { return keys[i].(string) }
	r := &rig{T: t, Store: NewStore(rdb), rdb: rdb, lock: name.Key, made: time.Now()}
	return &permits{r, name, size, key(0), key(1), key(2), key(3)}
}

func semaphoreAt(key string) lease.Name { return lease.Name{Kind: lease.Semaphore, Key: key} }
func rwAt(key string) lease.Name        { return lease.Name{Kind: lease.RWMutex, Key: key} }

// eachSemaphore runs f with a semaphore of ten permits on each server.
func eachSemaphore(t *testing.T, f func(r *permits)) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) { f(newPermits(t, rdb, semaphoreAt("key"), 10)) })
}

func eachRW(t *testing.T, f func(r *permits)) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) { f(newPermits(t, rdb, rwAt("key"), lease.ExclusiveWeight)) })
}

// update is request n of token: it keeps, and wants besides, first with this request.
func (r *permits) update(token string, n, keep, want int64) lease.Request {
	rw := r.name.Kind == lease.RWMutex
	return lease.Request{
		Name: r.name, Token: token, TTL: lockTTL, HandoverTTL: grantTTL, Seq: n, Enqueue: true, Channel: channelOf(token),
		Keep: keep, Want: want, WantSeq: n, Size: r.size, WantShared: rw && want == 1, HeldShared: rw && keep == 1,
	}
}

func (r *permits) says(q lease.Request) lease.Reply {
	r.Helper()
	return must(r.Acquire(r.Context(), q))(r.T)
}

func (r *permits) state(token string, n, keep, want int64) lease.Reply {
	r.Helper()
	return r.says(r.update(token, n, keep, want))
}

// has makes token hold so many.
func (r *permits) has(token string, weight int64) {
	r.Helper()
	equal(r.T, token+"'s request", outcome(r.state(token, 1, 0, weight)), "granted")
}

// waits puts token in the queue for so many.
func (r *permits) waits(token string, want int64) {
	r.Helper()
	equal(r.T, token+"'s request", outcome(r.state(token, 1, 0, want)), "wait")
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

// expires does to the hold of token what passing time does.
func (r *permits) expires(token string) { r.Helper(); r.ends(token, -time.Millisecond) }

// ends sets when the hold of token ends.
func (r *permits) ends(token string, in time.Duration) {
	r.Helper()
	ms := r.now().Add(in).UnixMilli()
	r.rewrite(r.main, token, func(fields []string) { fields[0] = fmt.Sprint(ms) })
	check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: float64(ms), Member: token}).Err())
}

// dies makes the entry of token so old that it counts no more.
func (r *permits) dies(token string) { r.Helper(); r.seen(token, -lease.WaiterTTL) }

func (r *permits) seen(token string, ago time.Duration) {
	r.Helper()
	ms := r.now().Add(ago).UnixMilli()
	r.rewrite(r.waiters, token, func(fields []string) { fields[0] = fmt.Sprint(ms) })
}

// storedPermits is all that the server stores for the permits.
type storedPermits struct {
	size, declared, used, waiting, last, life, at int64
	holds                                         map[string]record
	queue                                         []record
	zset                                          map[string]float64
	ttl                                           [4]time.Duration // of its keys
}

// record is a hold or an entry.
type record struct {
	token                                                        string
	expires, weight, ttl, seq, wantSeq, granted, base, at, grant int64
	shared                                                       bool
	channel                                                      string
}

func (r *permits) stored() storedPermits {
	r.Helper()
	pipe := r.rdb.Pipeline()
	read := r.read(pipe)
	must(pipe.Exec(r.Context()))(r.T)
	return read()
}

// read adds to a pipeline what a storedPermits is made of.
func (r *permits) read(pipe redis.Pipeliner) func() storedPermits {
	ctx := r.Context()
	main, entries := pipe.HGetAll(ctx, r.main), pipe.HGetAll(ctx, r.waiters)
	queue, zset := pipe.ZRange(ctx, r.queue, 0, -1), pipe.ZRangeWithScores(ctx, r.holders, 0, -1)
	var ttl [4]*redis.DurationCmd
	for i, key := range []string{r.main, r.holders, r.queue, r.waiters} {
		ttl[i] = pipe.PTTL(ctx, key)
	}
	return func() storedPermits {
		r.Helper()
		s := storedPermits{holds: map[string]record{}, zset: map[string]float64{}}
		for i := range ttl {
			s.ttl[i] = ttl[i].Val()
		}
		for token, text := range main.Val() {
			if token == "state" {
				r.scan(text, &s.size, &s.declared, &s.used, &s.waiting, &s.last, &s.life, &s.at)
				continue
			}
			h := record{token: token}
			h.shared, h.channel = r.scan(text, &h.expires, &h.weight, &h.ttl, &h.seq, &h.wantSeq, &h.granted, &h.base)
			s.holds[token] = h
		}
		for _, z := range zset.Val() {
			s.zset[z.Member.(string)] = z.Score
		}
		for _, token := range queue.Val() {
			e := record{token: token}
			if text, ok := entries.Val()[token]; ok {
				e.shared, e.channel = r.scan(text, &e.at, &e.seq, &e.grant, &e.ttl, &e.weight, &e.wantSeq)
			}
			s.queue = append(s.queue, e)
		}
		if len(queue.Val()) > 0 && len(entries.Val()) != len(queue.Val()) && len(entries.Val()) > 0 {
			r.Errorf("%d entries for %q", len(entries.Val()), queue.Val())
		}
		return s
	}
}

// scan reads numbers, and what follows them.
func (r *permits) scan(text string, numbers ...*int64) (shared bool, channel string) {
	r.Helper()
	fields := strings.SplitN(text, " ", len(numbers)+2)
	if fields[0] == string(r.name.Kind) {
		fields = fields[1:]
	}
	for i, n := range numbers {
		var err error
		if *n, err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			r.Fatalf("record %q: %v", text, err)
		}
	}
	if fields = fields[len(numbers):]; len(fields) == 2 {
		return fields[0] == "1", fields[1]
	}
	return false, ""
}

// String is who holds how much, and who waits for how much in which order.
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

// stands checks who holds how much, and who waits for how much.
func (r *permits) stands(what, want string) {
	r.Helper()
	equal(r.T, what, r.stored().String(), want)
}

// early makes the zset say that the hold of token has ended, as it does some
// time after a renewal.
func (r *permits) early(token string) {
	r.Helper()
	check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: 1, Member: token}).Err())
}

// setBack makes all times an hour later, which is what the server's clock has
// done to them when it is set back by one.
func (r *permits) setBack() {
	r.Helper()
	later := func(ms *string) {
		n := must(strconv.ParseInt(*ms, 10, 64))(r.T)
		*ms = fmt.Sprint(n + time.Hour.Milliseconds())
	}
	s := r.stored()
	for token, h := range s.holds {
		if h.expires <= time.Now().UnixMilli() {
			continue // it has gone before that, and is only still to be removed
		}
		r.rewrite(r.main, token, func(fields []string) { later(&fields[0]) })
		check(r.T, r.rdb.ZAddXX(r.Context(), r.holders, redis.Z{Score: s.zset[token] + float64(time.Hour.Milliseconds()), Member: token}).Err())
	}
	for _, e := range s.queue {
		if r.rdb.HExists(r.Context(), r.waiters, e.token).Val() {
			r.rewrite(r.waiters, e.token, func(fields []string) { later(&fields[0]) })
		}
	}
	if s.size > 0 {
		r.rewrite(r.main, "state", func(fields []string) { later(&fields[7]) })
	}
}
