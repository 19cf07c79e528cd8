package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultKeyTaken removes or replaces a holder's key (rows 13 and 14). The loss is reported at the next
// renewal, and the holder does not change the new value.
func TestFaultKeyTaken(t *testing.T) {
	t.Parallel()
	runTogether(t, map[string]func(*testing.T, *redistest.Server){
		"Deleted": func(t *testing.T, s *redistest.Server) { s.Do(t, "DEL", "key") },
		"Flushed": func(t *testing.T, s *redistest.Server) { s.Do(t, "FLUSHALL") },
		"Evicted": func(t *testing.T, s *redistest.Server) {
			s.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
			s.Do(t, "CONFIG", "SET", "maxmemory", 1) // evicts at once
			s.Do(t, "CONFIG", "SET", "maxmemory", 0)
			if owner(t, s) != nil {
				t.Error("the key was not evicted")
			}
		},
		"Overwritten": func(t *testing.T, s *redistest.Server) { s.Do(t, "SET", "key", "foreign") },
		"Retyped": func(t *testing.T, s *redistest.Server) {
			s.Do(t, "DEL", "key")
			s.Do(t, "LPUSH", "key", "foreign")
		},
	}, func(t *testing.T, take func(*testing.T, *redistest.Server)) {
		const ttl = 1500 * time.Millisecond // renewed every third of it
		s := redistest.Start(t)
		m := mutexOf(s.Client(t), ttl)
		l := lock(t, m)
		done := l.Done()
		take(t, s)
		dump := s.Do(t, "DUMP", "key")
		expectLoss(t, l, done, time.Now(), ttl/3)
		if now := s.Do(t, "DUMP", "key"); now != dump {
			t.Errorf("the key was %q and is %q", dump, now)
		}
		s.Do(t, "DEL", "key")
		next := lockWithin(t, "to lock again", m, 0)
		kit.ExpectFencesGrow(t, l, next)
		unlock(t, next)
		expectNothingLeft(t, s, 0)
	})
}
