package redisstore

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

func (r *rig) write(token string, fence int64, data string, change ...func(*lease.ValueWrite)) lease.WriteOutcome {
	r.Helper()
	w := lease.ValueWrite{Key: r.lock, Token: token, Fence: fence, Data: data}
	for _, f := range change {
		f(&w)
	}
	return must(r.WriteValue(r.Context(), w))(r.T)
}

func (r *rig) readValue() lease.ValueReply {
	r.Helper()
	return must(r.ReadValue(r.Context(), r.lock))(r.T)
}

// reads checks the stored value, "" for none.
func (r *rig) reads(what, want string) {
	r.Helper()
	got := ""
	if v := r.readValue().Value; v != nil {
		got = v.Data
	}
	equal(r.T, what, got, want)
}

func (r *rig) valueKey() string { return must(r.ValueChannel(r.lock))(r.T) }

func TestValueIsWrittenByTheHolder(t *testing.T) {
	eachServer(t, func(r *rig) {
		before := r.readValue()
		equal(r.T, "no value", before.Value, nil)
		equal(r.T, "no holder", before.Holder.Token, "")
		equal(r.T, "no end", before.HoldsFor < 0, true)
		equal(r.T, "a write without the lock", r.write(a, 1, "x"), lease.ValueNotHeld)

		r.held(a, b)
		fence := r.last() * lease.FencesPerGrant
		data := "\x00 1\r\n" + strings.Repeat("\xff", 1<<20)
		messages := r.published(func() {
			equal(r.T, "the holder's write", r.write(a, fence, data), lease.ValueStored)
			equal(r.T, "a repetition", r.write(a, fence, data), lease.ValueStored)
			equal(r.T, "a waiter's write", r.write(b, fence+1, "x"), lease.ValueNotHeld)
		})
		equal(r.T, "messages", len(messages), 0)
		reply := r.readValue()
		v := reply.Value
		equal(r.T, "data", v.Data, data)
		equal(r.T, "fence", v.Fence, fence)
		equal(r.T, "writer", v.Writer.Token, a)
		equal(r.T, "holder", reply.Holder.Token, a)
		equal(r.T, "the hold is finite", reply.HoldsFor > 0 && reply.HoldsFor <= lockTTL, true)
		equal(r.T, "no expiry", v.Remaining < 0, true)
		equal(r.T, "times in order", !v.WrittenAt.Before(before.Now) && !reply.Now.Before(v.WrittenAt), true)

		r.release(a)
		equal(r.T, "a late copy, after the hand-over", r.write(a, fence, "x"), lease.ValueNotHeld)
		r.reads("the value after the release", data)
	})
}

// The message of a write contains the fence, and has the format of all messages.
func TestValueWritePublishes(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		fence := r.last()*lease.FencesPerGrant + 3
		notify := func(w *lease.ValueWrite) { w.Notify = true }
		messages := r.published(func() {
			r.write(a, fence, "v", notify)
			r.write(b, fence, "v", notify)
		})
		equal(r.T, "messages", strings.Join(messages, ", "), r.valueKey()+": v "+strconv.FormatInt(fence, 10)+" 0 0 0 0 - "+r.lock)
		h, ok := parseMessage(strings.TrimPrefix(messages[0], r.valueKey()+": "))
		equal(r.T, "parsed", ok && h.Seq == fence && h.Key == r.lock, true)
		for _, ttl := range []time.Duration{time.Hour, 0, time.Minute} {
			r.write(a, fence, "v", func(w *lease.ValueWrite) { w.TTL = ttl })
			if ttl == 0 {
				equal(r.T, "without a TTL", r.pttl(r.valueKey()), -1)
				continue
			}
			r.expiry(r.valueKey(), ttl)
			r.remains("the reply", r.readValue().Value.Remaining, ttl)
		}
	})
}

// The leases of a process use one token in turn. A late write of an earlier lease must not replace
// the value of a later one. Fences have more digits than numbers in Lua.
func TestValueOfALowerFenceIsRefused(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		fence := r.last() * lease.FencesPerGrant
		r.write(a, fence+1, "second")
		equal(r.T, "the first's late write", r.write(a, fence, "first"), lease.ValueNewer)
		equal(r.T, "a fence of fewer digits", r.write(a, 9, "first"), lease.ValueNewer)
		equal(r.T, "the third's", r.write(a, fence+2, "third"), lease.ValueStored)
		r.reads("the value", "third")

		// After the loss of the fence key and a clock that was set back, a fence can be lower than the
		// stored one. Its holder must still be able to write.
		r.write(a, r.now().Add(time.Hour).UnixMicro()*lease.FencesPerGrant, "of the future")
		equal(r.T, "a lower fence", r.write(a, fence+3, "now"), lease.ValueStored)
		r.reads("the value", "now")
	})
}

func TestDeletedValueIsNotRestoredByTheHolder(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		begun := r.readValue()
		r.write(a, 1, "v")
		equal(r.T, "existed", must(r.DeleteValue(r.Context(), r.lock))(r.T), true)
		r.reads("a deleted value", "")
		r.expiry(r.valueKey(), 65*time.Minute)
		equal(r.T, "a write begun before", r.write(a, 2, "old"), lease.ValueDeleted)
		equal(r.T, "and by the reply", r.write(a, 2, "old", func(w *lease.ValueWrite) { w.Reset = begun.Reset }), lease.ValueDeleted)
		r.reads("the value", "")

		again := r.readValue()
		store := func(w *lease.ValueWrite) { w.Reset = again.Reset }
		equal(r.T, "a write begun after", r.write(a, 3, "new", store), lease.ValueStored)
		equal(r.T, "and its repetition", r.write(a, 3, "new", store), lease.ValueStored)
		r.reads("the value", "new")

		r.release(a)
		equal(r.T, "existed", must(r.DeleteValue(r.Context(), r.lock))(r.T), true)
		equal(r.T, "nothing is left", r.rdb.Exists(r.Context(), r.valueKey()).Val(), 0)
		equal(r.T, "existed", must(r.DeleteValue(r.Context(), r.lock))(r.T), false)
	})
}

func TestValueOfAnotherType(t *testing.T) {
	eachServer(t, func(r *rig) {
		for _, kind := range []string{"string", "list", "set", "zset"} {
			check(r.T, r.rdb.FlushAll(r.Context()).Err())
			r.held(a)
			r.put(r.valueKey(), kind)
			r.unchanged("a "+kind, func() {
				_, err := r.ReadValue(r.Context(), r.lock)
				expect(r.T, "read", err, "permanent", "value key: WRONGTYPE")
				_, err = r.WriteValue(r.Context(), lease.ValueWrite{Key: r.lock, Token: a, Fence: 1})
				expect(r.T, "write", err, "permanent", "value key: WRONGTYPE")
				_, err = r.DeleteValue(r.Context(), r.lock)
				expect(r.T, "delete", err, "permanent", "value key: WRONGTYPE")
			})
		}
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r.put(r.lock, "hash") // without an owner
		_, err := r.ReadValue(r.Context(), r.lock)
		expect(r.T, "read", err, "permanent", "WRONGTYPE")
		equal(r.T, "write", r.write(a, 1, "v"), lease.ValueNotHeld)
	})
}

// A value with garbled numbers counts as missing. The holder can replace it.
func TestGarbledValue(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		for _, field := range []string{"fence", "written_at", "fresh_until", "stale"} {
			check(r.T, r.rdb.HSet(r.Context(), r.valueKey(), "value", "v", "fence", "1", "written_at", "1", "fresh_until", "-1", field, "x1111111111111111111").Err())
			r.reads("the value", "")
			var reader lease.ValueReader
			equal(r.T, "read under the lock", r.grantedValue(a, 0, &reader).Value, nil)
			equal(r.T, "a write", r.write(a, 99, "w"), lease.ValueStored)
			r.reads("the value", "w")
			check(r.T, r.rdb.Del(r.Context(), r.valueKey()).Err())
		}
	})
}

// acquireValue sends request n of token, which also reads the value.
func (r *rig) acquireValue(token string, n int64, reader *lease.ValueReader) lease.Reply {
	r.Helper()
	q := r.request(token, n)
	q.Value = reader
	return must(r.Acquire(r.Context(), q))(r.T)
}

// releaseValue stores data with the release. The value is fresh for an hour.
func (r *rig) releaseValue(token string, data string, change ...func(*lease.ValueWrite)) (stored lease.WriteOutcome, owned bool) {
	r.Helper()
	w := lease.ValueWrite{Key: r.lock, Token: token, Fence: r.last() * lease.FencesPerGrant, Data: data, Fresh: time.Hour, Useful: true}
	for _, f := range change {
		f(&w)
	}
	stored, owned, err := r.ReleaseValue(r.Context(), w)
	check(r.T, err)
	return stored, owned
}

// releases calls releaseValue, and checks its results.
func (r *rig) releases(token string, data string, wantStored lease.WriteOutcome, wantOwned bool) {
	r.Helper()
	stored, owned := r.releaseValue(token, data)
	equal(r.T, token+"'s value", stored, wantStored)
	equal(r.T, token+" owned", owned, wantOwned)
}

// grantedValue checks that a request is granted, and returns the value that it has read.
func (r *rig) grantedValue(token string, n int64, reader *lease.ValueReader) *lease.ValueReply {
	r.Helper()
	reply := r.acquireValue(token, n, reader)
	equal(r.T, token, outcome(reply), "granted")
	return reader.Granted(reply.FenceBase * lease.FencesPerGrant)
}

// A request finds a fresh value instead of the lock. Without a fresh value it is an ordinary request.
func TestAcquireFindsAFreshValue(t *testing.T) {
	eachServer(t, func(r *rig) {
		var reader lease.ValueReader
		equal(r.T, "read under the lock", r.grantedValue(a, 0, &reader).Value, nil)
		equal(r.T, "a repeated request", outcome(r.acquireValue(a, 1, &reader)), "granted")
		equal(r.T, "another", outcome(r.acquireValue(b, 1, new(lease.ValueReader))), "wait")

		before := r.now()
		r.releases(a, "v", lease.ValueStored, true)
		for _, n := range []int64{0, 1} {
			var found lease.ValueReader
			got := r.acquireValue(c, n, &found)
			equal(r.T, "found", got.Found && !got.Granted, true)
			reply := found.Found()
			equal(r.T, "data", reply.Value.Data, "v")
			equal(r.T, "fresh until", !reply.Value.WrittenAt.Add(reply.Value.Fresh).Before(before.Add(time.Hour).Truncate(time.Millisecond)), true)
			equal(r.T, "useful", found.Useful(reply), true)
		}
		equal(r.T, "owner", r.owner(), "")
		equal(r.T, "queue", r.waiting(), b)
	})
}

// A useful value wakes all waiters, with one message each, and hands the lock to none of them.
func TestValueWakesTheWaiters(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a, b, c)
		messages := r.published(func() { r.releaseValue(a, "v") })
		equal(r.T, "messages", strings.Join(messages, ", "), "to:"+b+": m 0 0 0 0 1 "+b+" key, to:"+c+": m 0 0 0 0 1 "+c+" key")
		equal(r.T, "owner", r.owner(), "")
		for _, token := range []string{b, c} {
			equal(r.T, "found", r.acquireValue(token, 2, new(lease.ValueReader)).Found, true)
		}
		equal(r.T, "queue", r.waiting(), "")
		equal(r.T, "records", r.rdb.Exists(r.Context(), r.waiters).Val(), 0)
	})
}

// One script wakes a batch of waiters. Each waiter that leaves wakes one more, so that every waiter is
// woken exactly once.
func TestValueWakesManyWaiters(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		const n = 100 // more than a batch
		token := func(i int) string { return "baton:10000:w" + strconv.Itoa(i) }
		for i := range n {
			r.acquire(token(i), 1)
			r.keepQueued(r.queue, r.waiters, token(i))
		}
		woken := map[string]int{}
		for _, m := range r.published(func() {
			r.releaseValue(a, "v")
			for i := range n {
				r.acquireValue(token(i), 2, new(lease.ValueReader))
			}
		}) {
			channel, _, _ := strings.Cut(m, ": ")
			woken[channel]++
		}
		for channel, times := range woken {
			equal(r.T, "messages to "+channel, times, 1)
		}
		equal(r.T, "messages", len(woken), n)
		equal(r.T, "queue", r.waiting(), "")
	})
}

// A value that is not useful to the waiters is stored, and the lock goes to the first of them.
func TestUselessValueHandsTheLockOver(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a, b)
		r.releaseValue(a, "failed", func(w *lease.ValueWrite) { w.Fresh, w.Useful = 0, false })
		equal(r.T, "owner", r.owner(), b)
		r.reads("the value", "failed")
		var reader lease.ValueReader
		equal(r.T, "useful to the owner", reader.Useful(*r.grantedValue(b, 2, &reader)), false)
	})
}

// A value that is never fresh is useful to callers that came before it was written.
func TestOverlappingCallerFindsTheValue(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		waiter, late := lease.ValueReader{Overlap: true}, lease.ValueReader{Overlap: true}
		equal(r.T, "a waiter", outcome(r.acquireValue(b, 1, &waiter)), "wait")
		r.releaseValue(a, "v", func(w *lease.ValueWrite) { w.Fresh = 0 })
		equal(r.T, "the waiter finds it", r.acquireValue(b, 2, &waiter).Found, true)
		equal(r.T, "a later caller", outcome(r.acquireValue(c, 1, &late)), "granted")
	})
}

// While another process holds the lock, a stale value is useful to readers with Stale. The holder reads
// it too.
func TestStaleValueIsFoundWhileAnotherHoldsTheLock(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		r.releaseValue(a, "old", func(w *lease.ValueWrite) { w.Fresh, w.Stale = time.Millisecond, time.Hour })
		for r.readValue().Value.FreshAt(r.now()) {
		}
		refresher, other := lease.ValueReader{Stale: true}, lease.ValueReader{Stale: true}
		reply := r.grantedValue(b, 1, &refresher)
		equal(r.T, "its value", reply.Value.Data, "old")
		equal(r.T, "stale", reply.Value.StaleAt(reply.Now) && !refresher.Useful(*reply), true)
		equal(r.T, "the second", r.acquireValue(c, 1, &other).Found, true)
		equal(r.T, "a reader without Stale", outcome(r.acquireValue(d, 1, new(lease.ValueReader))), "wait")
	})
}

// An owner that finds a value is also granted the lock.
func TestOwnerThatFindsAValueStaysTheOwner(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		r.write(a, 1, "v", func(w *lease.ValueWrite) { w.Fresh = -1 })
		var reader lease.ValueReader
		got := r.acquireValue(a, 2, &reader)
		equal(r.T, "granted and found", got.Granted && got.Found && reader.Useful(*reader.Granted(got.FenceBase * lease.FencesPerGrant)), true)
		equal(r.T, "owner", r.owner(), a)
	})
}

func TestReleaseOfAValueIsRepeated(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a, b)
		r.releases(a, "v", lease.ValueStored, true)
		r.releases(a, "v", lease.ValueStored, true)
		equal(r.T, "a stranger's", r.write(c, 1, "w"), lease.ValueNotHeld)
		r.releases(c, "w", lease.ValueNotHeld, false)
		r.reads("the value", "v")
	})
}

// A release whose value must not be written still releases the lock.
func TestReleaseWithoutTheValue(t *testing.T) {
	eachServer(t, func(r *rig) {
		for want, prepare := range map[lease.WriteOutcome]func(){
			lease.ValueDeleted: func() { must(r.DeleteValue(r.Context(), r.lock))(r.T) },
			lease.ValueNewer:   func() { r.write(a, r.last()*lease.FencesPerGrant+7, "newer") },
		} {
			check(r.T, r.rdb.FlushAll(r.Context()).Err())
			r.held(a, b)
			prepare()
			r.releases(a, "v", want, true)
			equal(r.T, "owner", r.owner(), b)
		}
		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r.held(a, b)
		r.put(r.valueKey(), "list")
		_, _, err := r.ReleaseValue(r.Context(), lease.ValueWrite{Key: r.lock, Token: a, Fence: 1, Useful: true})
		expect(r.T, "release", err, "permanent", "value key: WRONGTYPE")
		equal(r.T, "owner", r.owner(), b)
		_, err = r.Acquire(r.Context(), lease.Request{Name: mutexAt(r.lock), Token: c, TTL: lockTTL, Value: new(lease.ValueReader)})
		expect(r.T, "acquire", err, "permanent", "value key: WRONGTYPE")
	})
}
