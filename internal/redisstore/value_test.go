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
		equal(r.T, "nothing at first", before.Value == nil && before.Holder.Token == "" && before.HoldsFor < 0, true)
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
		equal(r.T, "writer and holder", v.Writer.Token == a && reply.Holder.Token == a, true)
		equal(r.T, "the hold is finite, the value is not", reply.HoldsFor > 0 && reply.HoldsFor <= lockTTL && v.Remaining < 0, true)
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

// A value with garbled numbers counts as missing. The holder can replace it.
func TestGarbledValue(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.held(a)
		for _, field := range []string{"fence", "written_at", "fresh_until", "stale"} {
			for _, text := range []string{"x", "x1111111111111111111", "11111111111111111111"} {
				check(r.T, r.rdb.HSet(r.Context(), r.valueKey(), "value", "v", "fence", "1", "written_at", "1", "fresh_until", "-1", field, text).Err())
				r.reads("the value", "")
				var reader lease.ValueReader
				equal(r.T, "read under the lock", r.grantedValue(a, 0, &reader).Value, nil)
				equal(r.T, "a write", r.write(a, 99, "w"), lease.ValueStored)
				r.reads("the value", "w")
				check(r.T, r.rdb.Del(r.Context(), r.valueKey()).Err())
			}
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

// A useful value wakes all waiters, with one message each, and hands the lock to none of them. Each finds
// it instead of the lock.
func TestValueWakesTheWaiters(t *testing.T) {
	eachServer(t, func(r *rig) {
		var reader lease.ValueReader
		equal(r.T, "read under the lock", r.grantedValue(a, 0, &reader).Value, nil)
		equal(r.T, "a repeated request", outcome(r.acquireValue(a, 1, &reader)), "granted")
		r.held(a, b, c)
		messages := r.published(func() { r.releases(a, "v", lease.ValueStored, true) })
		equal(r.T, "messages", strings.Join(messages, ", "), "to:"+b+": m 0 0 0 0 1 "+b+" key, to:"+c+": m 0 0 0 0 1 "+c+" key")
		for token, n := range map[string]int64{b: 2, c: 2, d: 0, e: 1} {
			var found lease.ValueReader
			got := r.acquireValue(token, n, &found)
			equal(r.T, "found", got.Found && !got.Granted && found.Useful(found.Found()), true)
			v := found.Found().Value
			equal(r.T, "data", v.Data, "v")
			equal(r.T, "fresh for an hour", v.Fresh > time.Hour-time.Second && v.Fresh <= time.Hour, true)
		}
		equal(r.T, "owner", r.owner(), "")
		equal(r.T, "queue", r.waiting(), "")
		equal(r.T, "records", r.rdb.Exists(r.Context(), r.waiters).Val(), 0)

		r.releases(a, "v", lease.ValueStored, true) // a repetition
		r.releases(c, "w", lease.ValueNotHeld, false)
		r.reads("the value", "v")
	})
}

// A value that is not fresh is useful to callers that came before it was written, and to readers with
// Stale while another process holds the lock.
func TestValueThatIsNotFresh(t *testing.T) {
	eachServer(t, func(r *rig) {
		early, late, stale := lease.ValueReader{Overlap: true}, lease.ValueReader{Overlap: true}, lease.ValueReader{Stale: true}
		r.held(a, b)
		equal(r.T, "a waiter", outcome(r.acquireValue(c, 1, &early)), "wait")
		r.releaseValue(a, "v", func(w *lease.ValueWrite) { w.Fresh, w.Stale, w.Useful = time.Millisecond, time.Hour, false })
		for r.readValue().Value.FreshAt(r.now()) {
		}
		equal(r.T, "owner", r.owner(), b)
		reply := r.grantedValue(b, 2, &stale)
		equal(r.T, "its value", reply.Value.Data, "v")
		equal(r.T, "useful to the owner", !reply.Value.StaleAt(reply.Now) || stale.Useful(*reply), false)
		equal(r.T, "the waiter finds it", r.acquireValue(c, 2, &early).Found, true)
		equal(r.T, "a later caller", r.acquireValue(d, 0, &late).Found, false)
		equal(r.T, "a reader with Stale", r.acquireValue(e, 1, &stale).Found, true)
		equal(r.T, "a reader without Stale", r.acquireValue(d, 0, new(lease.ValueReader)).Found, false)

		// An owner that finds a value is also granted the lock.
		r.write(b, r.last()*lease.FencesPerGrant, "w", func(w *lease.ValueWrite) { w.Fresh = -1 })
		got := r.acquireValue(b, 3, &stale)
		equal(r.T, "granted and found", got.Granted && got.Found && stale.Useful(*stale.Granted(got.FenceBase * lease.FencesPerGrant)), true)
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
		expect(r.T, "acquire", r.valueOperations()["acquire"](), "permanent", "value key: WRONGTYPE")
	})
}
