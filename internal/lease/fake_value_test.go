package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// runOn runs a script on the Mutex at key.
func runOn[T any](s *fakeStore, what, key string, script func(k *fakeKey, owner string) (T, []message)) (T, error) {
	return call(s, what, func() (reply T, messages []message) {
		messages = s.redis.execute(Name{Kind: Mutex, Key: key}, what, func(k *fakeKey) (messages []message) {
			owner := ""
			for owner = range k.holds {
			}
			reply, messages = script(k, owner)
			return messages
		})
		return reply, messages
	})
}

func valueMessage(key string) []message {
	return []message{{"value of " + key, Handover{Name: Name{Kind: 'v', Key: key}, Seq: 1, Token: "-"}}}
}

func (s *fakeStore) ValueChannel(key string) (string, error) { return "value of " + key, nil }

func (s *fakeStore) ReadValue(_ context.Context, key string) (ValueReply, error) {
	return runOn(s, "read", key, func(k *fakeKey, owner string) (ValueReply, []message) {
		return ValueReply{Value: k.value, Now: time.Now(), Holder: client.ParseOwner(owner)}, nil
	})
}

func (s *fakeStore) WriteValue(_ context.Context, w ValueWrite) (WriteOutcome, error) {
	return runOn(s, "write", w.Key, func(k *fakeKey, owner string) (WriteOutcome, []message) {
		switch {
		case owner != w.Token:
			return ValueNotHeld, nil
		case k.value != nil && k.value.Fence > w.Fence:
			return ValueNewer, nil
		}
		k.value = &Value{Data: w.Data, Fence: w.Fence, Writer: client.ParseOwner(w.Token), WrittenAt: time.Now()}
		return ValueStored, valueMessage(w.Key)
	})
}

func (s *fakeStore) ClearValue(_ context.Context, key string) error {
	_, err := runOn(s, "clear", key, func(k *fakeKey, owner string) (cleared bool, messages []message) {
		if owner == "" {
			k.value, cleared, messages = nil, true, valueMessage(key)
		}
		return cleared, messages
	})
	return err
}

// fakeGroup is the only wait group of the fake. It has no tasks.
type fakeGroup struct {
	generation, count int64
	replies           map[string]taskgroup.UpdateReply // by session and number of an operation
}

const doneChannel = "done of the group"

func (s *fakeStore) DoneChannel(string) (string, error) { return doneChannel, nil }

func (s *fakeStore) UpdateGroup(_ context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
	return call(s, "update", func() (taskgroup.UpdateReply, []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		g, id := &s.redis.group, fmt.Sprint(c.Session, c.Seq)
		if r, known := g.replies[id]; known || c.Op != taskgroup.OpAdd {
			return r, nil
		}
		found := g.generation
		if g.count == 0 {
			g.generation = max(g.generation+1, time.Now().UnixMicro())
		}
		g.count += c.Delta
		g.replies[id] = taskgroup.UpdateReply{Outcome: taskgroup.Applied, Found: found}
		if g.count > 0 {
			return g.replies[id], nil
		}
		return g.replies[id], []message{{doneChannel, Handover{Name: Name{Kind: taskgroup.Kind, Key: c.Key}, Seq: g.generation}}}
	})
}

func (s *fakeStore) GroupStatus(context.Context, string, int64) (taskgroup.Generation, error) {
	return call(s, "status", func() (taskgroup.Generation, []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		g := s.redis.group
		return taskgroup.Generation{Number: g.generation, Remaining: g.count}, nil
	})
}

// session returns a session of the group in a process that has no other.
func (s *fakeStore) session() *taskgroup.Session {
	return taskgroup.NewManager(NewManager(s).Client, s).NewSession("key")
}
