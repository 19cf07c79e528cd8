package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

const all = lease.ExclusiveWeight

// shared checks who holds how much, and who waits for how much; W is all.
func (r *permits) shared(what, want string) {
	r.Helper()
	equal(r.T, what, strings.ReplaceAll(r.stored().String(), fmt.Sprint(int64(all)), "W"), want)
}

func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	eachRW(t, func(r *permits) {
		r.has(a, 1)
		r.has(b, 1)
		r.waits(c, all)
		r.waits(d, 1) // behind the writer
		r.waits(e, 1)
		r.release(a)
		r.shared("a reader is left", "b=1 c+W d+1 e+1")
		r.release(b)
		r.shared("the writer's turn", "c=W d+1 e+1")
		r.waits(a, all)
		r.waits(b, 1)
		said := r.published(func() { r.release(c) })
		r.shared("all readers up to the next writer", "d=1 e=1 a+W b+1")
		s := r.stored()
		want := []string{
			fmt.Sprintf("to:%s: r 1 1 %d 1 1 %s key", d, s.holds[d].base, d),
			fmt.Sprintf("to:%s: r 1 1 %d 1 1 %s key", e, s.holds[e].base, e),
		}
		if !slices.Equal(said, want) {
			r.Errorf("published %q, want %q", said, want)
		}
	})
}

func TestWriterBecomesAReader(t *testing.T) {
	t.Parallel()
	eachRW(t, func(r *permits) {
		r.has(a, all)
		r.waits(b, 1)
		r.waits(c, 1)
		r.waits(d, all)
		r.waits(e, 1)
		said := r.published(func() {
			equal(r.T, "awaited", r.state(a, 2, 1, 0).Contended, true) // so that its own new readers queue
		})
		r.shared("then", "a=1 b=1 c=1 d+W e+1")
		equal(r.T, "messages", len(said), 2)
		equal(r.T, "it shares", r.stored().holds[a].shared, true)
	})
}

// The first who has to wait makes known that somebody waits: to those who could
// let more in without asking, and to nobody else.
func TestContentionNotice(t *testing.T) {
	t.Parallel()
	eachRW(t, func(r *permits) {
		word := func(token string) string { return fmt.Sprintf("to:%s: r 0 0 0 0 1 %s -", token, token) }
		expect := func(what string, do func(), want ...string) {
			r.Helper()
			said := r.published(do)
			slices.Sort(said)
			if !slices.Equal(said, want) {
				r.Errorf("%s: published %q, want %q", what, said, want)
			}
		}
		r.has(a, 1)
		r.has(b, 1)
		q := r.update(c, 1, 0, all)
		q.Enqueue = false
		expect("a try", func() { r.says(q) })
		expect("the first", func() { r.waits(d, all) }, word(a), word(b))
		expect("the second", func() { r.waits(e, all) })
		expect("the first once more", func() {
			q := r.update(d, 2, 0, all)
			q.WantSeq = 1
			r.says(q)
		})
		r.release(d)
		r.release(e)
		expect("a sharer itself", func() { r.state(a, 2, 1, all) }, word(b))
		r.release(a)
		r.release(b)
		r.has(a, all)
		expect("to a writer", func() { r.waits(b, 1) })
	})
	eachSemaphore(t, func(r *permits) {
		r.has(a, 10)
		equal(r.T, "messages of a semaphore", len(r.published(func() { r.waits(b, 1) })), 0)
	})
}

// A holder's TTL is its own: who asks for less does not shorten it for others.
func TestTTLsOfMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPermits(t, redistest.MiniClient(t, redistest.Mini(t)), rwAt("key"), all)
		start := time.Now()
		for _, row := range []struct {
			token string
			ttl   time.Duration
		}{{a, 10 * time.Second}, {b, time.Second}, {c, 2 * time.Hour}, {d, 3 * time.Second}} {
			q := r.update(row.token, 1, 0, 1)
			q.TTL = row.ttl
			equal(t, row.token, outcome(r.says(q)), "granted")
		}
		r.expiry(r.main, 2*time.Hour)
		for i, row := range []struct {
			at   time.Duration
			then string
		}{
			{time.Second - time.Millisecond, "a=1 b=1 c=1 d=1 e+W"},
			{time.Second, "a=1 c=1 d=1 e+W"},
			{3*time.Second - time.Millisecond, "a=1 c=1 d=1 e+W"},
			{3 * time.Second, "a=1 c=1 e+W"},
			{10*time.Second - time.Millisecond, "a=1 c=1 e+W"},
			{10 * time.Second, "c=1 e+W"},
			{90 * time.Minute, "c=1 e+W"}, // the keys live for as long as who has the longest
			{2*time.Hour - time.Millisecond, "c=1 e+W"},
			{2 * time.Hour, "e=W"},
		} {
			time.Sleep(row.at - time.Since(start))
			n := int64(i + 1)
			got := r.state(e, n, 0, all)
			if left := got.Remaining; !got.Granted && (left <= 0 || left > 2*time.Hour) {
				t.Errorf("after %v: %v left", row.at, left)
			}
			r.shared(fmt.Sprint("after ", row.at), row.then)
		}
	})
}

// Hours of renewals do not wear out what only the other scripts touch.
func TestRenewalsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPermits(t, redistest.MiniClient(t, redistest.Mini(t)), semaphoreAt("key"), 10)
		r.has(a, 6)
		fence := r.stored().last
		for range 3 * 60 * 60 / 5 {
			time.Sleep(5 * time.Second)
			equal(t, "renewed", r.renew(a, lockTTL), lease.RenewResult{Held: true})
		}
		equal(t, "the zset", r.rdb.Exists(t.Context(), r.holders).Val(), 0)
		r.has(b, 4)
		r.waits(c, 1)
		r.stands("then", "a=6 b=4 c+1")
		r.expiry(r.holders, 65*time.Minute)
		if now := r.stored().last; now <= fence {
			t.Errorf("fence %d after %d", now, fence)
		}
		time.Sleep(66 * time.Minute)
		equal(t, "nobody uses it", r.all(), "")
	})
}
