package main

import "fmt"

// An interval is a request for a hold, the hold, and its end. Times are 0 for what has
// not happened.
type interval struct {
	id     int64
	worker uint8
	key    string
	weight int32

	asked, answered int64
	result          result
	abandoned       int32 // tasks, as a wait was told
	fence           int64

	first, last       int64 // times at which the hold was believed in
	lossReported      int64 // of its loss
	release, released int64
	marked            bool   // of a Once: the run was successful
	end               result // as told, or as the release found it
	revived           int64  // believed in after its end, which must not be
}

func (s *interval) note(e event) {
	switch e.What {
	case asked:
		*s = interval{id: e.Hold, worker: e.Worker, key: keys[e.Key], weight: e.N, asked: e.T}
	case answered:
		s.answered, s.result, s.fence, s.abandoned = e.T, e.Result, e.Fence, e.N
	case stillHeld:
		if s.lossReported != 0 || s.released != 0 {
			s.revived = e.T
			return
		}
		if s.first == 0 {
			s.first = e.T
		}
		s.last = e.T
	case lossReported:
		if s.released == 0 {
			s.lossReported, s.end = e.T, e.Result
		}
	case release:
		s.release = e.T
	case released:
		s.released, s.end, s.marked = e.T, e.Result, e.N == 1
	}
}

// granted tells whether a hold came of the request.
func (s *interval) granted() bool { return s.answered != 0 && s.result == ok }

// over is when the holder knew that its hold had ended, 0 if it did not.
func (s *interval) over() int64 {
	if s.lossReported != 0 {
		return s.lossReported
	}
	return s.released
}

func (s *interval) String() string {
	at := func(t int64) string {
		if t == 0 {
			return "–"
		}
		return fmt.Sprintf("%.3f", float64(t)/1e6)
	}
	return fmt.Sprintf("%s #%x of worker %d, weight %d: asked %s, answered %s (%d), fence %d, believed %s to %s, told %s, unlock %s to %s (%d) ms",
		s.key, s.id, s.worker, s.weight, at(s.asked), at(s.answered), s.result, s.fence,
		at(s.first), at(s.last), at(s.lossReported), at(s.release), at(s.released), s.end)
}
