package redisstore

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// crossing stands in for the server: each convoy arrives with its commands' names,
// and returns when it is let go.
type crossing struct {
	arrived chan []string
	let     chan struct{}
	end     chan struct{}   // lets those go that are under way all the time
	ctx     context.Context // of the last that was more than one
}

const lorry = "lorry" // is under way all the time

func (x *crossing) cross(cmds ...redis.Cmder) error {
	var names []string
	for _, cmd := range cmds {
		names = append(names, cmd.Args()[1].(string))
	}
	if names[0] == lorry {
		<-x.end
		return nil
	}
	x.arrived <- names
	<-x.let
	return nil
}

func (x *crossing) DialHook(redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { panic("no command is sent") }
}

func (x *crossing) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return x.cross(cmd) }
}

func (x *crossing) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		x.ctx = ctx
		return x.cross(cmds...)
	}
}

// newConvoy returns a convoy of which one more goes freely, its crossing, and what sends a
// command on it, which returns once that has left or waits.
func newConvoy(t *testing.T, opt redis.Options) (*crossing, func(ctx context.Context, name string)) {
	opt.Addr = "127.0.0.1:1"                                                                         // a name would be looked up
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // has a clock
	rdb := redis.NewClient(&opt)
	t.Cleanup(func() { _ = rdb.Close() })
	x := &crossing{arrived: make(chan []string, 100), let: make(chan struct{}, 100), end: make(chan struct{})}
	rdb.AddHook(x)
	road := NewStore(rdb).road
	send := func(ctx context.Context, name string) {
		go func() { _ = road.Process(ctx, once{redis.NewCmd(ctx, "evalsha", name)}) }()
		synctest.Wait()
	}
	for range freely - 1 {
		send(context.Background(), lorry)
	}
	t.Cleanup(func() { close(x.end) })
	return x, send
}

// wants compares who has gone together, convoy by convoy, since the last look.
func (x *crossing) wants(t *testing.T, want ...[]string) {
	t.Helper()
	synctest.Wait()
	var got [][]string
	for len(x.arrived) > 0 {
		names := <-x.arrived
		slices.Sort(names)
		got = append(got, names)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%q have gone, want %q", got, want)
	}
}

func TestConvoyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, send := newConvoy(t, redis.Options{})
		for _, name := range []string{"a", "b", "c", "d"} {
			send(t.Context(), name)
		}
		x.wants(t, []string{"a"})
		x.let <- struct{}{}
		x.wants(t, []string{"b", "c", "d"})
		x.let <- struct{}{}
		x.wants(t)
		send(t.Context(), "e")
		x.wants(t, []string{"e"})
		x.let <- struct{}{}
	})
}

// TestConvoyStuck: one that does not return keeps the others back for a moment only.
func TestConvoyStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, send := newConvoy(t, redis.Options{})
		send(t.Context(), "a")
		send(t.Context(), "b")
		time.Sleep(headway / 2)
		send(t.Context(), "c")
		x.wants(t, []string{"a"})
		time.Sleep(headway / 2)
		x.wants(t, []string{"b", "c"})
		send(t.Context(), "d")
		time.Sleep(2 * headway)
		x.wants(t, []string{"d"})
		time.Sleep(3 * headway)
		send(t.Context(), "e")
		x.wants(t, []string{"e"})
		for range 4 {
			x.let <- struct{}{}
		}
	})
}

// TestConvoyLong: of very many the first do not wait for the last.
func TestConvoyLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, send := newConvoy(t, redis.Options{})
		for range 2 + 2*longest {
			send(t.Context(), "a")
		}
		for _, want := range []int{1, longest, longest, 1} {
			if n := len(<-x.arrived); n != want {
				t.Errorf("%d have gone together, want %d", n, want)
			}
			x.let <- struct{}{}
			synctest.Wait()
		}
	})
}

// TestConvoyHeeds: where a command ends with its ctx, it goes by itself.
func TestConvoyHeeds(t *testing.T) {
	for heeds, want := range map[bool][][]string{true: {{"b"}}, false: nil} {
		synctest.Test(t, func(t *testing.T) {
			x, send := newConvoy(t, redis.Options{ContextTimeoutEnabled: heeds})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			send(t.Context(), "a")
			x.wants(t, []string{"a"})
			send(ctx, "b")
			x.wants(t, want...)
			x.let <- struct{}{}
			x.let <- struct{}{}
		})
	}
}

// TestConvoyDeadline has some commands of a convoy that may wait for a connection until a
// time: it waits no longer than the first of them.
func TestConvoyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, send := newConvoy(t, redis.Options{})
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		send(t.Context(), "a")
		send(t.Context(), "b")
		soon := within(time.Second)
		for _, ctx := range []context.Context{within(time.Minute), soon, within(time.Hour), t.Context()} {
			send(ctx, "c")
		}
		x.let <- struct{}{}
		synctest.Wait()
		want, _ := soon.Deadline()
		if got, ok := x.ctx.Deadline(); !ok || !got.Equal(want) {
			t.Errorf("it waits until %v, %v, want %v", got, ok, want)
		}
		x.let <- struct{}{}
	})
}

// TestConvoyNoConnection has a convoy get no connection in the time of one of its
// commands: to the others, which have more time, it is the pool that had none.
func TestConvoyNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
		defer rdb.Close()
		rdb.AddHook(pool{})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all []*passenger
		for _, ctx := range []context.Context{t.Context(), short} {
			all = append(all, &passenger{Cmder: once{redis.NewCmd(ctx, "evalsha", "a")}, ctx: ctx})
		}
		(&convoy{rdb: rdb}).together(all)
		if err := all[0].Err(); err != redis.ErrPoolTimeout {
			t.Errorf("who has time gets %v", err)
		}
		if err := all[1].Err(); err != context.DeadlineExceeded {
			t.Errorf("who has none gets %v", err)
		}
	})
}

// pool is one without a connection.
type pool struct{ redis.Hook }

func (pool) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (pool) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (pool) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		<-ctx.Done()
		for _, cmd := range cmds {
			cmd.SetErr(ctx.Err())
		}
		return ctx.Err()
	}
}

// TestConvoyOfEach: where there are several servers, each command finds its own.
func TestConvoyOfEach(t *testing.T) {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{})
	defer cluster.Close()
	if _, ok := NewStore(cluster).road.(*convoy); ok {
		t.Error("what goes to one node of a cluster waits for others")
	}
}

// TestConvoyRefused: each command of a convoy that cannot be sent has the error.
func TestConvoyRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // hangs up on everybody
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	rdb := redis.NewClient(&redis.Options{Addr: l.Addr().String(), MaxRetries: -1})
	defer rdb.Close()
	road := NewStore(rdb).road
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			cmd := once{redis.NewCmd(t.Context(), "evalsha", "a")}
			if err := road.Process(t.Context(), cmd); err == nil || cmd.Err() != err {
				t.Errorf("Process returns %v, and the command's error is %v", err, cmd.Err())
			}
		})
	}
	wg.Wait()
}
