package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrCut is what a command fails with that a [Steps] walk has cut off.
var ErrCut = fmt.Errorf("redistest: cut off: %w", io.ErrUnexpectedEOF)

// errEnough is the cause of the end of a walk's ctx.
var errEnough = errors.New("enough")

// late is when a command is executed that was executed late, or once more.
const late = 700 * time.Millisecond

// befalls lists what a walk does to a command, each in a run of its own.
var befalls = []string{"ctx ends before it", "ctx ends before its reply", "lost request", "lost reply", "executed twice", "executed late"}

// A Step is one run of a [Steps] walk.
type Step struct {
	*testing.T
	Ours, Theirs *redis.Client // the commands of ours are counted
	Faulty       bool          // something befalls a command

	ctx    context.Context
	cancel context.CancelCauseFunc
	at     int // this command
	what   string

	mu     sync.Mutex
	seen   []string
	did    bool
	ended  time.Time
	failed bool // our last command had, when ctx ended
	last   error
}

// Steps runs f in a synctest bubble, with two clients of a miniredis. It counts
// the commands of one, which are to be so many at least, and then runs f anew for
// each of them and everything that can befall it: the ctx of [Step.Call] ends
// before it is sent, or before its reply is there; it does not reach the server,
// or its reply does not come back; it is executed twice, or after it has failed.
// A command beyond the least may come in one run and not in the next, as goroutines
// happen to take turns.
func Steps(t *testing.T, least int, f func(s *Step)) {
	t.Helper()
	run := func(at int, what string) (seen []string, did bool) {
		t.Helper()
		s := &Step{at: at, what: what, Faulty: what != "" && !strings.HasPrefix(what, "ctx")}
		defer func() { // a failure in a bubble ends the test around it
			if t.Failed() {
				t.Logf("command %d of %q: %s", at, s.seen, what)
			}
		}()
		synctest.Test(t, func(t *testing.T) {
			s.T = t
			m := Mini(t)
			s.Ours, s.Theirs = MiniClient(t, m), MiniClient(t, m)
			s.Ours.AddHook(s)
			s.ctx, s.cancel = context.WithCancelCause(t.Context())
			f(s)
			s.cancel(nil)
			s.rest()
		})
		return s.seen, s.did
	}
	seen, _ := run(0, "")
	if len(seen) < least {
		t.Fatalf("%d commands, want %d at least: %q", len(seen), least, seen)
	}
	for at := range seen {
		for _, what := range befalls {
			if _, did := run(at+1, what); !did && at < least {
				t.Errorf("command %d of %q: %s: it did not", at+1, seen, what)
			}
		}
	}
}

// Call makes the call under test, with a ctx that may end during it, and checks
// that it returns in time and with ctx's error then. Of other errors it allows
// those in may.
func (s *Step) Call(f func(ctx context.Context) error, may ...error) error {
	s.Helper()
	err := f(s.ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if after := time.Since(s.ended); !s.ended.IsZero() && after > 0 && (err == nil || after > 6*time.Millisecond) {
		s.Errorf("%v after the end of ctx the call returns %v", after, err)
	}
	switch {
	case err == nil || !errors.Is(err, context.Canceled) && slices.ContainsFunc(may, func(e error) bool { return errors.Is(err, e) }):
	case s.ended.IsZero() || !errors.Is(err, context.Canceled) || !errors.Is(err, errEnough):
		s.Errorf("the call fails with %v", err)
	case s.failed && !errors.Is(err, ErrCut):
		s.Errorf("the call fails with %v, which does not say what Redis failed with", err)
	}
	return err
}

// Ctx is the ctx of Call, for a call that is checked otherwise.
func (s *Step) Ctx() context.Context { return s.ctx }

// rest checks that in a moment nobody listens, and that every key expires.
func (s *Step) rest() {
	time.Sleep(2 * time.Second)
	ctx := context.Background()
	if all := s.Theirs.PubSubChannels(ctx, "*").Val(); len(all) > 0 {
		s.Errorf("somebody still listens to %q", all)
	}
	for _, key := range s.Theirs.Keys(ctx, "*").Val() {
		if s.Theirs.PTTL(ctx, key).Val() < 0 {
			s.Errorf("%q does not expire", key)
		}
	}
}

func (s *Step) end() {
	s.mu.Lock()
	s.ended, s.failed = time.Now(), s.last != nil
	s.mu.Unlock()
	s.cancel(errEnough)
	time.Sleep(time.Nanosecond) // all that follows from it comes first
}

func (s *Step) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *Step) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return s.step(ctx, []redis.Cmder{cmd}, func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds[0]) })
	}
}

func (s *Step) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return s.step(ctx, cmds, next) }
}

// step sends commands, or does what befalls them.
func (s *Step) step(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) (err error) {
	if !strings.HasPrefix(cmds[0].Name(), "eval") { // of a new connection
		return next(ctx, cmds)
	}
	s.mu.Lock()
	s.seen = append(s.seen, cmds[0].Name())
	what := ""
	if len(s.seen) == s.at {
		what, s.did = s.what, true
	}
	s.mu.Unlock()
	again := func() {
		var copies []redis.Cmder
		for _, cmd := range cmds {
			copies = append(copies, cmd.Clone())
		}
		time.AfterFunc(late, func() { _ = next(context.Background(), copies) })
	}
	switch what {
	case "ctx ends before it":
		s.end()
	case "executed twice":
		again()
	case "executed late":
		again()
		fallthrough
	case "lost request":
		err = ErrCut
	}
	if err == nil {
		err = next(ctx, cmds)
	}
	switch what {
	case "ctx ends before its reply":
		s.end()
	case "lost reply":
		err = ErrCut
	}
	if err == ErrCut {
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last = nil; err == ErrCut {
		s.last = err
	}
	return err
}
