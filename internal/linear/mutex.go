package linear

import "github.com/anishathalye/porcupine"

// mutexState is who holds the key, 0 for nobody, and the last fence.
type mutexState struct{ holder, fence int64 }

// Mutex is the model of a mutex.Mutex.
func Mutex() porcupine.Model {
	return model(mutexState{}, func(a, b mutexState) bool { return a == b }, mutexState.step)
}

func (s mutexState) step(r Request, a Answer) (mutexState, bool) {
	switch {
	case a.Result == Locked:
		return s, s.holder != 0 || r.Excused
	case a.Result == Lost:
		return s, s.holder != r.Hold
	case r.Act == Acquire, r.Act == Try:
		return mutexState{r.Hold, a.Fence}, s.holder == 0 && a.Fence > s.fence
	default: // Release, Expire
		return mutexState{0, s.fence}, s.holder == r.Hold
	}
}
