package linear

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// rwState is who holds the key.
type rwState struct {
	writer  int64   // 0 for none
	readers []int64 // ascending; never changed in place
	written int64   // the last writer's fence
	highest int64   // fence of anybody
}

// RWMutex is the model of a mutex.RWMutex.
func RWMutex() porcupine.Model {
	return model(rwState{}, rwState.equal, rwState.step)
}

func (s rwState) equal(t rwState) bool {
	return s.writer == t.writer && s.written == t.written && s.highest == t.highest && slices.Equal(s.readers, t.readers)
}

func (s rwState) step(r Request, a Answer) (rwState, bool) {
	i, reads := slices.BinarySearch(s.readers, r.Hold)
	switch {
	case a.Result == Locked:
		return s, s.writer != 0 || !r.Shared && len(s.readers) > 0 || r.Excused
	case a.Result == Lost:
		return s, s.writer != r.Hold && !reads
	case (r.Act == Acquire || r.Act == Try) && r.Shared:
		// Readers are not ordered among one another.
		ok := s.writer == 0 && a.Fence > s.written
		s.readers = slices.Insert(slices.Clone(s.readers), i, r.Hold)
		s.highest = max(s.highest, a.Fence)
		return s, ok
	case r.Act == Acquire, r.Act == Try:
		ok := s.writer == 0 && len(s.readers) == 0 && a.Fence > s.highest
		s.writer, s.written, s.highest = r.Hold, a.Fence, a.Fence
		return s, ok
	case r.Shared: // Release, Expire
		if reads {
			s.readers = slices.Delete(slices.Clone(s.readers), i, i+1)
		}
		return s, reads
	default:
		ok := s.writer == r.Hold
		s.writer = 0
		return s, ok
	}
}
