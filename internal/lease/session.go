package lease

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// remembered is how long Redis surely knows an operation after its last use.
	remembered = time.Hour
	// regret is for how long an operation is undone that nobody waits for any more.
	regret = time.Minute
)

// A Session numbers the operations of one process on one wait group, so that Redis
// counts none of them twice, and says up to which number they are over, so that
// Redis need remember those under way only.
type Session struct {
	keeper *Keeper
	key    string
	id     string
	// Trace is where its caller sets what is told of tasks, and of what goes wrong.
	Trace **Trace

	mu   sync.Mutex
	last int64                // number given
	low  int64                // all up to this one are over
	over Map[int64, struct{}] // those above that are, too
}

// NewSession returns a session for the group at key.
func (k *Keeper) NewSession(key string) *Session {
	return &Session{keeper: k, key: key, id: rand.Text()[:16]}
}

// counter is the store of a keeper whose wait groups are used.
func (k *Keeper) counter() Counter { return k.store.(Counter) }

// begin numbers an operation.
func (s *Session) begin(c Change) Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	c.Key, c.Session, c.Op = s.key, s.id, s.last
	return c
}

// end notes that an operation is over: whatever of it comes from now on is void.
func (s *Session) end(op int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over.Set(op, struct{}{})
	for {
		if _, ok := s.over.M[s.low+1]; !ok {
			return
		}
		s.low++
		s.over.Delete(s.low)
	}
}

// answered is an Answer, and when the request was about to be sent that it is to.
type answered struct {
	Answer
	sent time.Time
}

// send sends an operation once.
func (s *Session) send(ctx context.Context, c Change) (answered, error) {
	s.mu.Lock()
	c.Low = s.low
	s.mu.Unlock()
	sent := time.Now()
	answer, err := s.keeper.counter().Change(ctx, c)
	return answered{answer, sent}, err
}

// tracer returns what tells of one call, as newTracer does.
func (s *Session) tracer(ctx context.Context) *tracer {
	if s.Trace == nil {
		return nil
	}
	return newTracer(ctx, &Params{Kind: WaitGroup, Key: s.key, Trace: *s.Trace})
}

// redisError tells of an attempt that has failed, before that returns.
func (s *Session) redisError(ctx context.Context, op string, err error) {
	if err != nil {
		t := s.tracer(ctx)
		t.redisError(op, err)
		t.done()
	}
}

// Change makes a change, or none if it fails: one that ctx has overtaken is undone.
// That may come too late if it was what ended the round.
func (s *Session) Change(ctx context.Context, op string, c Change) (Answer, error) {
	got, err := s.change(ctx, op, c)
	return got.Answer, err
}

func (s *Session) change(ctx context.Context, op string, c Change) (answered, error) {
	redis := s.settled(ctx)
	if ctx.Err() != nil { // nothing was sent, so that there is nothing to undo
		return answered{}, &opError{op, s.key, ctxError(ctx), redis}
	}
	c = s.begin(c)
	first := time.Now()
	got, err := Call(ctx, op, s.key, true, func(ctx context.Context) (answered, error) {
		if time.Since(first) > remembered {
			return answered{}, Permanent(ErrForgotten)
		}
		got, err := s.send(ctx, c)
		s.redisError(ctx, "change", err)
		if err == nil && got.Answer == Counted && c.TTL > 0 && newWindow(got.sent, c.TTL).left(time.Now()) <= 0 {
			err = errLate
		}
		return got, err
	})
	if err != nil && ctx.Err() != nil {
		s.undo(ctx, c)
	} else {
		s.end(c.Op)
	}
	return got, err
}

// undo undoes a change that ctx has overtaken, and waits a moment for Redis to hear of
// it, so that a program may exit at once thereafter.
func (s *Session) undo(ctx context.Context, c Change) {
	c.What = Undo
	send := func(ctx context.Context) error {
		_, err := s.send(ctx, c)
		s.redisError(ctx, "change", err)
		return insist(err)
	}
	end := func() { s.end(c.Op) } // whether Redis has heard of it or not
	s.keeper.backlog.tell(backlogCall{ctx, send, time.Now().Add(regret), end})
}
