package linear

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"
)

// permit is a hold on n permits.
type permit struct{ hold, n, fence int64 }

func (p permit) compare(hold int64) int { return cmp.Compare(p.hold, hold) }

type semaphoreState struct {
	size, used int64
	holds      []permit // by hold; never changed in place
	ended      int64    // the highest fence of a hold that has ended
}

// Semaphore is the model of a semaphore.Weighted of so many permits.
func Semaphore(size int64) porcupine.Model {
	return model(semaphoreState{size: size}, semaphoreState.equal, semaphoreState.step)
}

func (s semaphoreState) equal(t semaphoreState) bool {
	return s.size == t.size && s.ended == t.ended && slices.Equal(s.holds, t.holds)
}

func (s semaphoreState) step(r Request, a Answer) (semaphoreState, bool) {
	i, has := slices.BinarySearchFunc(s.holds, r.Hold, permit.compare)
	switch {
	case r.Act == Resize:
		s.size = r.N
		return s, true
	case a.Result == Size:
		return s, r.N > s.size
	case a.Result == Locked:
		return s, s.used+r.N > s.size || r.Excused
	case a.Result == Lost:
		return s, !has
	case r.Act == Acquire, r.Act == Try:
		// Of holds that overlap a fence says nothing, but each has its own.
		ok := s.used+r.N <= s.size && (a.Fence > s.ended || !permitFencesGrow) &&
			!slices.ContainsFunc(s.holds, func(p permit) bool { return p.fence == a.Fence })
		s.used += r.N
		s.holds = slices.Insert(slices.Clone(s.holds), i, permit{r.Hold, r.N, a.Fence})
		return s, ok
	}
	if has { // Release, Expire
		s.used -= s.holds[i].n
		s.ended = max(s.ended, s.holds[i].fence)
		s.holds = slices.Delete(slices.Clone(s.holds), i, i+1)
	}
	return s, has
}
