package linear

import "github.com/anishathalye/porcupine"

// span is a request for a hold, the hold, and its release. Times are 0 for what
// has not happened.
type span struct {
	hold    int64
	client  int
	process int64
	key     string
	want    want

	asked, answered int64
	result          Result
	err             string // of result
	fence           int64

	believed          int64 // the last time
	told              int64 // of the loss
	release, released int64
	end               Result // as told, or as the release found it
}

// note adds what happened.
func (s *span) note(e event) {
	switch e.What {
	case asked:
		*s = span{hold: e.Hold, client: e.Client, process: e.Hold >> 40, key: e.Key, want: *e.Request, asked: e.T}
	case answered:
		s.answered, s.result, s.err, s.fence = e.T, e.Result, e.Err, e.Fence
	case believed:
		s.believed = e.T
	case told:
		s.told, s.end = e.T, e.Result
	case release:
		s.release = e.T
	case released:
		s.released, s.end = e.T, e.Result
	}
}

// open tells whether the hold has no known end.
func (s *span) open() bool { return s.result == OK && s.told == 0 && s.released == 0 }

// operations are those of the span, as the models know them.
func (s *span) operations(excused bool) (ops []porcupine.Operation) {
	add := func(act Act, call int64, a Answer, ret int64) {
		r := Request{Act: act, Hold: s.hold, Shared: s.want.Shared, N: s.want.N, Excused: excused}
		ops = append(ops, porcupine.Operation{ClientId: s.client, Input: r, Call: call, Output: a, Return: ret})
	}
	if s.answered == 0 || s.result == Failed { // let nobody in, as far as anybody could tell
		return nil
	}
	act := Acquire
	if s.want.Try {
		act = Try
	}
	add(act, s.asked, Answer{s.result, s.fence}, s.answered)
	if s.result != OK {
		return ops
	}
	if s.released != 0 && s.end == OK {
		add(Release, s.release, Answer{Result: OK}, s.released)
		return ops
	}
	// Of a hold that was never believed in, as its process stood still, all that is
	// known is that it was granted.
	last := max(s.asked, s.believed)
	switch {
	case s.open():
		add(Expire, last, Answer{Result: OK}, Forever)
	case s.told != 0:
		add(Expire, last, Answer{Result: OK}, s.told)
	default:
		add(Expire, last, Answer{Result: OK}, s.released)
	}
	if s.released != 0 && s.end == Lost {
		add(Release, s.release, Answer{Result: Lost}, s.released)
	}
	return ops
}

// leaves tells until when the span may make a try fail that finds nobody inside,
// and whether one of another process too. Linger is how long what a failed
// request or a lost hold leaves in Redis may stay there.
func (s *span) leaves(linger int64) (until int64, others bool) {
	switch {
	case s.answered == 0 || s.open():
		return Forever, true
	case s.result == Failed:
		return s.answered + linger, true
	case s.result == OK && s.end != OK: // the holder knows before Redis does
		return max(s.told, s.released) + linger, true
	}
	// A try never waits in Redis. But one that took so long may have been granted,
	// and have heard of it when that was over: then it asked again.
	return s.answered, !s.want.Try || s.answered-s.asked > int64(ttl/2)
}
