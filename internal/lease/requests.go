package lease

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// requests are those of one claim. They are numbered, so that Redis knows one that has been
// overtaken, and so that a hand-over can say which of them Redis had seen: the window counts
// from it.
type requests struct {
	loop       loopState
	seq        int64           // number of the last request
	currentSeq int64           // number of the request whose reply is awaited
	recent     [4]sentRequest  // the last queueing ones, each at its number modulo 4
	inflight   int             // requests for permits that are under way
	timer      *time.Timer     // sends the next request; nil until one has waited
	backoff    backoff.BackOff // nil unless Redis fails, or an owner that is not ours will not tell
}

// loopState is what keyQueue.requestLoop does for a claim.
type loopState uint8

const (
	loopStopped      loopState = iota
	loopPaused                 // a request follows: when the timer fires, or at once
	loopSending                // a request is under way
	loopSendingAgain           // and another must follow it at once
)

func (s loopState) sending() bool { return s >= loopSending }

type sentRequest struct {
	seq    int64
	sentAt time.Time
}

// next numbers the next request, sent at now.
func (s *requests) next(queues bool, now time.Time) (seq int64) {
	if s.seq++; queues {
		s.recent[s.seq%int64(len(s.recent))] = sentRequest{s.seq, now}
	}
	return s.seq
}

// sentAt returns when request seq was sent, and false if it is not one of the last few that
// queued. More than one is kept, because a request may be under way for long: the hand-over that
// comes meanwhile names an earlier one.
func (s *requests) sentAt(seq int64) (at time.Time, ok bool) {
	r := s.recent[uint64(seq)%uint64(len(s.recent))]
	return r.sentAt, seq > 0 && r.seq == seq
}

// queuedBefore reports whether an earlier request than r may have left an entry.
func (s *requests) queuedBefore(r Request) bool {
	return slices.ContainsFunc(s.recent[:], func(s sentRequest) bool { return s.seq > 0 && s.seq < r.Seq })
}

// lastQueued returns the number of the last request that queued, 0 if none has.
func (s *requests) lastQueued() (seq int64) {
	for _, r := range s.recent {
		seq = max(seq, r.seq)
	}
	return seq
}

// retryDelay is after how long to ask again when nobody will tell us.
func (s *requests) retryDelay() time.Duration {
	if s.backoff == nil {
		s.backoff = retry.NewBackoff(10*time.Millisecond, 0.5)
	}
	return s.backoff.NextBackOff()
}
