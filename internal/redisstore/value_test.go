package redisstore

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
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
	t.Parallel()
	eachServer(t, func(r *rig) {
		before := r.readValue()
		equal(r.T, "no value", before.Value, nil)
		equal(r.T, "no holder", before.Holder.Token, "")
		equal(r.T, "its end", before.HoldsFor < 0, true)
		equal(r.T, "a write without the lock", r.write(a, 1, "x"), lease.ValueNotHeld)

		r.held(a, b)
		fence := r.last() * lease.FencesPerGrant
		data := "\x00 1\r\n" + strings.Repeat("\xff", 1<<20)
		said := r.published(func() {
			equal(r.T, "the holder's write", r.write(a, fence, data), lease.ValueStored)
			equal(r.T, "a repetition", r.write(a, fence, data), lease.ValueStored)
			equal(r.T, "a waiter's write", r.write(b, fence+1, "x"), lease.ValueNotHeld)
		})
		equal(r.T, "messages", len(said), 0)
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

// A message names the fence, and is in the form of all messages.
func TestValueWritePublishes(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a)
		fence := r.last()*lease.FencesPerGrant + 3
		said := r.published(func() {
			r.write(a, fence, "v", func(w *lease.ValueWrite) { w.Notify = true })
			r.write(b, fence, "v", func(w *lease.ValueWrite) { w.Notify = true })
		})
		equal(r.T, "messages", strings.Join(said, ", "), r.valueKey()+": v "+strconv.FormatInt(fence, 10)+" 0 0 0 0 - "+r.lock)
		h, ok := parseMessage(strings.TrimPrefix(said[0], r.valueKey()+": "))
		equal(r.T, "parsed", ok && h.Seq == fence && h.Key == r.lock, true)
	})
}

func TestValueExpires(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a)
		r.write(a, 1, "v", func(w *lease.ValueWrite) { w.TTL = time.Hour })
		r.expiry(r.valueKey(), time.Hour)
		equal(r.T, "remaining", r.readValue().Value.Remaining > 59*time.Minute, true)
		r.write(a, 1, "v")
		equal(r.T, "without a TTL", r.pttl(r.valueKey()), -1)
		r.write(a, 1, "v", func(w *lease.ValueWrite) { w.TTL = time.Minute })
		r.expiry(r.valueKey(), time.Minute)
	})
}

// The leases of a process take turns under one token. A late write of an earlier one must not
// replace that of a later one. Fences have more digits than the scripts' numbers.
func TestValueOfALowerFenceIsRefused(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a)
		fence := r.last() * lease.FencesPerGrant
		r.write(a, fence+1, "second")
		equal(r.T, "the first's late write", r.write(a, fence, "first"), lease.ValueNewer)
		equal(r.T, "a fence of fewer digits", r.write(a, 9, "first"), lease.ValueNewer)
		equal(r.T, "the third's", r.write(a, fence+2, "third"), lease.ValueStored)
		r.reads("the value", "third")
	})
}

// A fence can be lower than one before the server's clock was set back, if the fence key is
// lost too. Its holder must not be locked out until the clock is where it was.
func TestValueIsWrittenAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a)
		future := r.now().Add(time.Hour).UnixMicro() * lease.FencesPerGrant
		r.write(a, future, "of the future")
		equal(r.T, "a lower fence", r.write(a, r.last()*lease.FencesPerGrant, "now"), lease.ValueStored)
		r.reads("the value", "now")
	})
}

func TestDeletedValueIsNotWrittenByTheHolderOfThen(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
		r.put(r.lock, "hash") // so that token does not own it
		_, err := r.ReadValue(r.Context(), r.lock)
		expect(r.T, "read", err, "permanent", "WRONGTYPE")
		equal(r.T, "write", r.write(a, 1, "v"), lease.ValueNotHeld)
	})
}

func TestGarbledValue(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a)
		for _, field := range []string{"fence", "written_at"} {
			check(r.T, r.rdb.HSet(r.Context(), r.valueKey(), "value", "v", "fence", "1", "written_at", "1", field, "x").Err())
			_, err := r.ReadValue(r.Context(), r.lock)
			expect(r.T, "read", err, "unknown", "unexpected reply")
			equal(r.T, "a write puts it right", r.write(a, 99, "w"), lease.ValueStored)
			r.reads("the value", "w")
			check(r.T, r.rdb.Del(r.Context(), r.valueKey()).Err())
		}
	})
}

// All keys of a lock are of one slot, whatever its name is.
func TestValueKeyIsOfTheSlot(t *testing.T) {
	for _, key := range odd {
		if got := slot(must((*Store)(nil).ValueChannel(key))(t)); got != slot(key) {
			t.Errorf("slot of the value of %.30q: %d, not %d", key, got, slot(key))
		}
	}
	for _, key := range []string{"", "baton:{x}:value"} {
		s := NewStore(redistest.MiniClient(t, redistest.Mini(t)))
		_, err := s.ReadValue(t.Context(), key)
		expect(t, "read", err, "permanent", "key")
		_, err = s.WriteValue(t.Context(), lease.ValueWrite{Key: key})
		expect(t, "write", err, "permanent", "key")
		_, err = s.DeleteValue(t.Context(), key)
		expect(t, "delete", err, "permanent", "key")
	}
}
