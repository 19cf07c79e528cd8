package main

import "fmt"

// An interval is a request for a hold, the hold, and its end. Times of events that did not happen are 0.
type interval struct {
	id     int64
	worker uint8
	key    string
	weight int32

	requested, replied int64
	result             result
	abandoned          int32 // number of abandoned tasks that a wait reported
	fence              int64

	first, last       int64 // first and last time at which Err returned nil
	lossReported      int64 // when Err returned an error
	release, released int64
	marked            bool   // of a Once: the run succeeded
	end               result // result of Err or of the release
	heldAfterEnd      int64  // when Err returned nil after the end, a violation
}

func (s *interval) record(e event) {
	switch e.Kind {
	case requested:
		*s = interval{id: e.Hold, worker: e.Worker, key: keys[e.Key], weight: e.N, requested: e.T}
	case replied:
		s.replied, s.result, s.fence, s.abandoned = e.T, e.Result, e.Fence, e.N
	case stillHeld:
		if s.lossReported != 0 || s.released != 0 {
			s.heldAfterEnd = e.T
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

// granted reports whether the request was granted.
func (s *interval) granted() bool { return s.replied != 0 && s.result == ok }

// knownEnd returns when the holder learned the end of its hold, or 0.
func (s *interval) knownEnd() int64 {
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
	return fmt.Sprintf("%s #%x of worker %d, weight %d: requested %s, reply %s (%d), fence %d, valid %s to %s, loss reported %s, release %s to %s (%d) ms",
		s.key, s.id, s.worker, s.weight, at(s.requested), at(s.replied), s.result, s.fence,
		at(s.first), at(s.last), at(s.lossReported), at(s.release), at(s.released), s.end)
}
