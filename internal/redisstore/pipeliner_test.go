package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A hookServer stands in for a server. It records which commands were sent together, and replies when
// the test allows it.
type hookServer struct {
	arrived chan []string        // the first argument of each command sent together
	reply   chan func() error    // run for the oldest arrival; returns its error
	blocked map[string]chan bool // commands that get no reply until their channel is closed
}

func (h *hookServer) serve(cmds ...redis.Cmder) error {
	var names []string
	for _, cmd := range cmds {
		names = append(names, cmd.Args()[3].(string))
	}
	if until := h.blocked[names[0]]; until != nil {
		<-until
		return errors.New("no reply")
	}
	h.arrived <- names
	err := (<-h.reply)()
	for _, cmd := range cmds {
		cmd.(noRetryCmd).SetVal(int64(1))
	}
	return err
}

// newHookServer returns a server, and a function that sends it a command. The function returns once the
// command was sent or queued.
func newHookServer(t *testing.T) (*hookServer, func(key string, ctx ...context.Context) <-chan error) {
	rdb := newClient(t)
	h := &hookServer{arrived: make(chan []string, 100), reply: make(chan func() error), blocked: map[string]chan bool{}}
	rdb.AddHook(redistest.Hook{
		Process: func(_ context.Context, cmd redis.Cmder, _ redis.ProcessHook) error { return h.serve(cmd) },
		Pipeline: func(_ context.Context, cmds []redis.Cmder, _ redis.ProcessPipelineHook) error {
			return h.serve(cmds...)
		},
	})
	to := newTransport(rdb)
	return h, func(key string, ctx ...context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := to.run(append(ctx, t.Context())[0], mutexRelease, []any{key}, nil)
			done <- err
		}()
		synctest.Wait()
		return done
	}
}

// sent checks which commands were sent together since the last call.
func (h *hookServer) sent(t *testing.T, want ...[]string) {
	t.Helper()
	synctest.Wait()
	var got [][]string
	for len(h.arrived) > 0 {
		names := <-h.arrived
		slices.Sort(names)
		got = append(got, names)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func fine() error { return nil }

// finish replies to the commands in flight, and checks that all commands succeed.
func (h *hookServer) finish(t *testing.T, all ...<-chan error) {
	t.Helper()
	for range maxUnbatched {
		h.reply <- fine
	}
	for _, done := range all {
		check(t, <-done)
	}
}

// TestCommandWithoutAReplyDelaysNoOther sends commands behind others that never return.
func TestCommandWithoutAReplyDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, send := newHookServer(t)
		var stuck []<-chan error
		for _, key := range []string{"1", "2"} {
			h.blocked[key] = make(chan bool)
			stuck = append(stuck, send(key))
		}
		a, b := send("a"), send("b")
		h.sent(t)
		time.Sleep(2 * queueTimeout)
		h.sent(t, []string{"a", "b"})
		h.reply <- fine
		check(t, errors.Join(<-a, <-b))
		for _, until := range h.blocked {
			close(until)
		}
		for _, done := range stuck {
			<-done
		}
	})
}

// TestBatchIsBounded sends a thousand commands at once, which must be several pipelines.
func TestBatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, send := newHookServer(t)
		var wg sync.WaitGroup
		for range 1000 {
			done := send("k")
			wg.Go(func() { <-done })
		}
		most := 0
		go func() {
			for names := range h.arrived {
				most = max(most, len(names))
				h.reply <- fine
			}
		}()
		wg.Wait()
		close(h.arrived)
		equal(t, "the largest pipeline", most, maxBatch)
	})
}

// TestQueuedCommandEndsWithItsOwnContext cancels a queued command. It is never sent, and the others in
// the queue are.
func TestQueuedCommandEndsWithItsOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, send := newHookServer(t)
		all := []<-chan error{send("1"), send("2")}
		ctx, cancel := context.WithCancel(t.Context())
		a := send("a", ctx)
		all = append(all, send("b"))
		cancel()
		if err := <-a; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		h.sent(t, []string{"1"}, []string{"2"})
		h.reply <- fine
		h.sent(t, []string{"b"})
		h.finish(t, all...)
	})
}

// TestDeadlineInABatchIsItsOwn lets a deadline pass while the pipeline of its command is in flight. The
// command returns soon, and the others of the pipeline get their replies.
func TestDeadlineInABatchIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, send := newHookServer(t)
		var all []<-chan error
		for range maxUnbatched + 30 {
			all = append(all, send("k"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		short := send("short", ctx)
		for range 29 {
			all = append(all, send("k"))
		}
		h.reply <- fine
		synctest.Wait() // the pipeline is sent
		start := time.Now()
		if err := <-short; err != retry.ErrNoAnswer || time.Since(start) > 2*sentTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		h.finish(t, all...)
		most := 0
		for len(h.arrived) > 0 {
			most = max(most, len(<-h.arrived))
		}
		equal(t, "the largest pipeline", most, 60)
	})
}

// TestReleaseAwaitsAConnectionUntilItsDeadline releases without a connection. Only the deadline of the
// release ends its wait for one.
func TestReleaseAwaitsAConnectionUntilItsDeadline(t *testing.T) {
	type dialer = func(context.Context, string, string) (net.Conn, error)
	clients := map[string]func(dialer) redis.UniversalClient{
		"a server": func(d dialer) redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", Dialer: d, ReadTimeout: time.Second})
		},
		"a cluster": func(d dialer) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, Dialer: d, ReadTimeout: time.Second})
		},
	}
	for name, client := range clients {
		synctest.Test(t, func(t *testing.T) {
			rdb := client(func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			s, start := NewStore(rdb), time.Now()
			_, err := s.manager.RetryUntil(t.Context(), start.Add(4*time.Second), func(ctx context.Context) (bool, error) {
				return s.Release(ctx, mutexAt("key"), a)
			}, nil)
			if took := time.Since(start); err == nil || took > 4100*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			check(t, rdb.Close())
			time.Sleep(time.Minute) // the dials end by themselves
		})
	}
}

// TestShortDeadlineFailsAlone sends requests from 64 goroutines, one of them with a very short deadline.
// None of the others may fail.
func TestShortDeadlineFailsAlone(t *testing.T) {
	s := redistest.Start(t)
	for _, ctxTimeouts := range []bool{true, false} {
		store := NewStore(s.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled = ctxTimeouts }))
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for n := range 50 {
					ctx, cancel := t.Context(), func() {}
					if i == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
					}
					r := lease.Request{Name: mutexAt(fmt.Sprint(ctxTimeouts, i, " ", n)), Token: "baton:60000:t", TTL: time.Minute, Seq: 1}
					if reply, err := store.Acquire(ctx, r); i > 0 && (err != nil || !reply.Granted) {
						t.Errorf("with ContextTimeoutEnabled %v: %v", ctxTimeouts, err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
	}
}

// TestRenewalsDoNotQueueAtASilentServer cannot send a pipeline, so that its commands are sent one by one.
// The first command without a reply fails all later ones.
func TestRenewalsDoNotQueueAtASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, sent := errors.New("i/o timeout"), 0
		p := &pipeliner{
			exec: func([]redis.Cmder) error { return errSendAlone },
			process: func(_ context.Context, cmd redis.Cmder) error {
				if sent++; sent == 1 {
					cmd.(noRetryCmd).SetVal(int64(1))
					return nil
				}
				time.Sleep(3 * time.Second)
				return silent
			},
		}
		var errs []error
		chunk := make([]renewal, maxBatch)
		for i := range chunk {
			chunk[i] = renewal{script: mutexRenew, keys: []any{"k"}, args: []any{"t", 1}, done: func(_ any, err error) { errs = append(errs, err) }}
		}
		p.renew(chunk)
		equal(t, "commands sent", sent, 2)
		equal(t, "renewals done", len(errs), len(chunk))
		equal(t, "the first", errs[0], nil)
		for _, err := range errs[1:] {
			equal(t, "the others", err, silent)
		}
	})
}

// TestPipelineOfAClusterHasNoDeadline checks the ctx of a pipeline. go-redis would apply a deadline to
// the replies, and a hold on a distant server would be lost.
func TestPipelineOfAClusterHasNoDeadline(t *testing.T) {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true})
	defer rdb.Close()
	reached := errors.New("reached")
	rdb.AddHook(redistest.Before(func(ctx context.Context, _ ...redis.Cmder) error {
		if _, ok := ctx.Deadline(); ok || ctx.Done() == nil {
			t.Error("the ctx has a deadline, or cannot end the wait for a connection")
		}
		return reached
	}))
	err := execBy(rdb)([]redis.Cmder{mutexRelease.command(t.Context(), "evalsha", "", nil, nil)})
	equal(t, "the error", err, reached)
}

// TestExecErrorIsForCommandsWithoutReply checks that the error of Exec becomes the error of the commands
// without a reply, and of no other.
func TestExecErrorIsForCommandsWithoutReply(t *testing.T) {
	ctx := t.Context()
	replied, failed, none := mutexRelease.command(ctx, "evalsha", "", nil, nil), mutexRelease.command(ctx, "evalsha", "", nil, nil), mutexRelease.command(ctx, "evalsha", "", nil, nil)
	replied.SetVal(int64(1))
	own, exec := errors.New("own"), errors.New("exec")
	failed.SetErr(own)
	for _, row := range []struct {
		cmd       noRetryCmd
		err, want error
	}{
		{replied, exec, nil}, {failed, exec, own}, {none, exec, exec}, {none, nil, errNoReply},
		{replied, errSendAlone, nil}, {none, errSendAlone, errSendAlone},
	} {
		if got := batchedError(row.cmd, row.err); got != row.want {
			t.Errorf("%v with %v: got %v, want %v", row.cmd, row.err, got, row.want)
		}
	}
}

// TestPanicReachesTheCallerOfItsCommand panics in a pipeline. Its commands are then sent one by one.
func TestPanicReachesTheCallerOfItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, send := newHookServer(t)
		one, two, a, b := send("1"), send("2"), send("a"), send("b")
		h.sent(t, []string{"1"}, []string{"2"})
		h.finish(t, one, two)
		h.sent(t, []string{"a", "b"})
		h.reply <- func() error { panic("in a hook") }
		bad := <-h.arrived
		h.reply <- func() error { panic("in a hook") }
		good := <-h.arrived
		h.reply <- fine
		outcomes := map[string]error{"a": <-a, "b": <-b}
		var p *retry.PanicError
		if err := outcomes[bad[0]]; !errors.As(err, &p) || p.Value != "in a hook" {
			t.Errorf("the command that panics: %v", err)
		}
		if err := outcomes[good[0]]; err != nil {
			t.Errorf("the other command: %v", err)
		}
	})
}

// TestHoldNeedsNoNewConnection renews many locks on an idle client that cannot make a further connection,
// not even for a pipeline.
func TestHoldNeedsNoNewConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var dials atomic.Int64
	ended := make(chan struct{})
	defer close(ended)
	rdb := s.Client(t, func(o *redis.Options) {
		dial := redis.NewDialer(o)
		o.DialerRetries = 1
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) > 1 {
				<-ended
				return nil, errors.New("no connection")
			}
			return dial(ctx, network, addr)
		}
	})
	store := NewStore(rdb)
	var claims []lease.Renewal
	for i := range 300 {
		name := mutexAt(fmt.Sprint("key", i))
		reply, err := store.Acquire(t.Context(), lease.Request{Name: name, Token: a, TTL: time.Minute, Seq: 1})
		if check(t, err); !reply.Granted {
			t.Fatal("not granted")
		}
		claims = append(claims, lease.Renewal{Name: name, Token: a, TTL: time.Minute})
	}
	for i, r := range renewAll(store, claims) {
		if !r.Held {
			t.Fatalf("lock %d: %v", i, r.Err)
		}
	}
	if dials.Load() == 1 {
		t.Error("no further connection was dialed")
	}
}
