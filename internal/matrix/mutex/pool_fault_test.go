package mutex_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestPoolReleaseLost loses the request that unlocks one of two keys, or its answer: when
// Unlock returns they are free, and nothing was lost.
func TestPoolReleaseLost(t *testing.T) {
	t.Parallel()
	s, p := kit.Proxied(t)
	here, there := mutex.NewPool(p.Client(t), "{p}:"), mutex.NewPool(s.Client(t), "{p}:")
	unlock(t, lockAll(t, there, "a", "b")) // the scripts are known
	for what, lose := range map[string]func(string){"request": p.CutNextRequest, "reply": p.CutNextReply} {
		l := lockAll(t, here, "a", "b")
		lose("evalsha")
		if err := l.Unlock(); err != nil {
			t.Errorf("%s lost: %v", what, err)
		}
		both, err := there.TryLockContext(t.Context(), "a", "b")
		if err != nil {
			t.Fatalf("%s lost: the keys are held when Unlock has returned: %v", what, err)
		}
		unlock(t, both)
	}
	if f := p.Faults(); f.RequestsCut != 1 || f.RepliesCut != 1 {
		t.Errorf("%+v", f)
	}
	rests(t, s, 0)
}
