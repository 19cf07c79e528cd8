package mutex_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestPoolReleaseLost loses the request that unlocks one of two keys, or its reply. When Unlock returns,
// both keys are free, and Unlock reports no loss.
func TestPoolReleaseLost(t *testing.T) {
	t.Parallel()
	s, p := kit.StartWithProxy(t)
	here, there := mutex.NewPool(p.Client(t), "{p}:"), mutex.NewPool(s.Client(t), "{p}:")
	unlock(t, lockAll(t, there, "a", "b")) // loads the scripts
	for desc, lose := range map[string]func(string){"request": p.CutNextRequest, "reply": p.CutNextReply} {
		l := lockAll(t, here, "a", "b")
		lose("evalsha")
		if err := l.Unlock(); err != nil {
			t.Errorf("%s lost: %v", desc, err)
		}
		both, err := there.TryLockContext(t.Context(), "a", "b")
		if err != nil {
			t.Fatalf("%s lost: the keys are held after Unlock: %v", desc, err)
		}
		unlock(t, both)
	}
	if f := p.Faults(); f.RequestsCut != 1 || f.RepliesCut != 1 {
		t.Errorf("%+v", f)
	}
	expectNothingLeft(t, s, 0)
}
