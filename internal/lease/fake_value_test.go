package lease

import (
	"context"
	"strconv"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// fakeValue is the value that the fake Redis stores with a mutex.
type fakeValue struct {
	*Value        // nil if there is none
	reset  string // set by the last deletion under a held mutex
}

// loseValue evicts the value, and keeps the mutex.
func (f *fakeRedis) loseValue(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log("the value is lost")
	f.key(name).value = fakeValue{}
}

func (f *fakeRedis) valueReply(k *fakeKey) ValueReply {
	r := ValueReply{Value: k.value.Value, Now: time.Now(), Reset: k.value.reset}
	if k.owner != "" {
		r.Holder, r.HoldsFor = client.ParseOwner(k.owner), time.Until(k.expires)
	}
	return r
}

// acquireWithValue does what value_acquire.lua does.
func (f *fakeRedis) acquireWithValue(r Request) (reply Reply, value ValueReply, messages []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	k, now := f.key(r.Key), time.Now()
	since, stale := r.Value.Wants()
	v := k.value.Value
	found := v.FreshAt(now) || v != nil && since > 0 && v.WrittenAt.UnixMicro() > since ||
		stale && k.owner != "" && k.owner != r.Token && v.StaleAt(now)
	if found && k.owner != r.Token {
		f.log("%s finds the value of %d", r.Token, v.Fence)
		k.dequeue(r.Token)
		reply.Remaining = -1
	} else {
		reply, messages = f.acquireLocked(r)
	}
	reply.Found = found
	return reply, f.valueReply(k), messages
}

// write does what value_write.lua does, and the part of value_release.lua that stores the value.
func (f *fakeRedis) write(k *fakeKey, w ValueWrite) WriteOutcome {
	v := k.value
	switch {
	case k.owner != w.Token:
		return ValueNotHeld
	case v.reset != w.Reset:
		return ValueDeleted
	case v.Value != nil && v.Fence > w.Fence:
		return ValueNewer
	}
	now := time.Now()
	fresh := w.Fresh
	if !w.FreshSince.IsZero() {
		fresh -= now.Sub(w.FreshSince)
	}
	if w.Fresh < 0 {
		fresh = 1 << 62
	}
	f.log("%s stores the value of %d", w.Token, w.Fence)
	k.value.Value = &Value{Data: w.Data, Fence: w.Fence, Writer: client.ParseOwner(w.Token), WrittenAt: now, Fresh: fresh, Stale: w.Stale}
	return ValueStored
}

func valueMessage(key string) message {
	return message{"value of " + key, Handover{Name: Name{Kind: 'v', Key: key}, Seq: 1, Token: "-"}}
}

func (s *fakeStore) ValueChannel(key string) (string, error) { return "value of " + key, nil }

func (s *fakeStore) ReadValue(_ context.Context, key string) (ValueReply, error) {
	return call(s, "read", func() (ValueReply, []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		return s.redis.valueReply(s.redis.key(key)), nil
	})
}

func (s *fakeStore) WriteValue(_ context.Context, w ValueWrite) (WriteOutcome, error) {
	return call(s, "write", func() (outcome WriteOutcome, messages []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		if outcome = s.redis.write(s.redis.key(w.Key), w); outcome == ValueStored && w.Notify {
			messages = []message{valueMessage(w.Key)}
		}
		return outcome, messages
	})
}

func (s *fakeStore) ReleaseValue(_ context.Context, w ValueWrite) (WriteOutcome, bool, error) {
	type reply struct {
		WriteOutcome
		owned bool
	}
	r, err := call(s, "release", func() (r reply, messages []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		k := s.redis.key(w.Key)
		r.WriteOutcome, r.owned = s.redis.write(k, w), k.owner == w.Token
		if v := k.value.Value; r.WriteOutcome == ValueNotHeld && v != nil && v.Fence == w.Fence && v.Writer.Token == w.Token {
			return reply{ValueStored, true}, nil
		}
		if r.WriteOutcome == ValueStored && w.Useful {
			k.owner = ""
			for _, e := range k.queue {
				messages = append(messages, message{e.channel, Handover{Name: Name{Kind: Mutex, Key: w.Key}, Token: e.token, Contended: true}})
			}
			return r, messages
		}
		_, messages = s.redis.releaseLocked(w.Key, w.Token)
		return r, messages
	})
	return r.WriteOutcome, r.owned, err
}

func (s *fakeStore) DeleteValue(_ context.Context, key string) (bool, error) {
	return call(s, "delete", func() (existed bool, _ []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		k := s.redis.key(key)
		existed, k.value = k.value.Value != nil, fakeValue{}
		if k.owner != "" {
			k.value.reset = strconv.FormatInt(time.Now().UnixNano(), 10)
		}
		return existed, nil
	})
}

func (s *fakeStore) ClearValue(_ context.Context, key string) error {
	_, err := call(s, "clear", func() (free bool, messages []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		if k := s.redis.key(key); k.owner == "" {
			k.value, free, messages = fakeValue{}, true, []message{valueMessage(key)}
		}
		return free, messages
	})
	return err
}
