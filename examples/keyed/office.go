package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// An office runs the workers of a bank and tells them what to do.
type office struct {
	ctx   context.Context // ends the whole early
	cfg   config
	bank  *bank
	start time.Time

	out io.Writer
	mu  sync.Mutex // guards out

	failed atomic.Bool // a worker has

	// One worker is to be stopped for a while.
	stopping atomic.Bool            // one is, or has been
	stopped  atomic.Pointer[string] // the customer whose account it has read; nil if it goes on
	told     chan struct{}          // closed when that is over
}

func newOffice(ctx context.Context, cfg config, b *bank, out io.Writer) *office {
	return &office{ctx: ctx, cfg: cfg, bank: b, out: out, start: time.Now(), told: make(chan struct{})}
}

// open returns when all workers have ended.
func (o *office) open() error {
	// Should the workers not get on, because Redis is gone, they are not waited for.
	ctx, cancel := context.WithTimeout(context.Background(), 2*o.cfg.Length+10*o.cfg.TTL+10*time.Second)
	defer cancel()
	var (
		running sync.WaitGroup
		errs    = make([]error, o.cfg.Workers)
	)
	for i := range errs {
		wait, err := o.hire(ctx, i+1)
		if err != nil {
			errs[i] = err
			o.failed.Store(true)
			break
		}
		running.Go(func() {
			if err := wait(); err != nil {
				errs[i] = fmt.Errorf("worker %d: %w", i+1, err)
				o.failed.Store(true) // the others end with it
			}
		})
	}
	show, done := time.NewTicker(time.Second/2), make(chan struct{})
	defer show.Stop()
	go func() {
		running.Wait()
		close(done)
	}()
	for {
		select {
		case <-show.C:
			o.show()
		case <-done:
			return errors.Join(errs...)
		}
	}
}

// hire starts this program again as a worker, and returns how to wait for its end.
func (o *office) hire(ctx context.Context, n int) (wait func() error, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	told, err := json.Marshal(o.cfg)
	if err != nil {
		return nil, err
	}
	w := exec.CommandContext(ctx, exe)
	w.Env = append(os.Environ(), taskEnv+"="+string(told))
	w.Stderr = os.Stderr
	to, err := w.StdinPipe()
	if err != nil {
		return nil, err
	}
	from, err := w.StdoutPipe()
	if err != nil {
		return nil, err
	}
	desk := rpc.NewServer()
	if err := desk.RegisterName("Desk", &Desk{worker: n, process: w, office: o}); err != nil {
		return nil, err
	}
	if err := w.Start(); err != nil {
		return nil, err
	}
	return func() error {
		desk.ServeConn(struct {
			io.Reader
			io.WriteCloser
		}{from, to})
		return w.Wait()
	}, nil
}

// next returns what is to be done next. What has begun is finished.
func (o *office) next() Order {
	names := o.bank.customers()
	i := rand.N(len(names))
	order, stopped := Order{Kind: deposit, Customer: names[i]}, o.stopped.Load()
	switch n := rand.N(100); {
	case o.over():
		return Order{Kind: over}
	case n < 20 && stopped != nil: // somebody has to come upon that account
		order.Customer = *stopped
	case n < 5:
		order.Kind = statement
	case n < 35:
		order.Kind, order.Amount = transfer, 1+rand.N(100)
		order.To = names[(i+1+rand.N(len(names)-1))%len(names)]
	}
	if order.Kind == deposit {
		o.bank.announce(order.Customer, 1+rand.N(100))
	}
	return order
}

// over reports whether there is nothing to be done any more: not before the one
// that is stopped goes on.
func (o *office) over() bool {
	if o.ctx.Err() != nil || o.failed.Load() {
		return true
	}
	select {
	case <-o.told:
		return time.Since(o.start) >= o.cfg.Length
	default:
		return time.Since(o.start) >= 2*o.cfg.Length+10*o.cfg.TTL
	}
}

// stop stops the worker that has just read an entry, when the time has come:
// until another has read the account. In between the lock has gone to that one.
func (o *office) stop(worker int, p *os.Process, e Entry) {
	if time.Since(o.start) < o.cfg.Length/3 || o.over() || o.stopping.Swap(true) {
		return
	}
	defer close(o.told)
	if err := pause(p); err != nil {
		o.say("worker %d cannot be stopped: %v", worker, err)
		return
	}
	o.say("worker %d was stopped: kill -STOP, under the lock of %s, with fence %d", worker, e.Customer, e.Fence)
	o.stopped.Store(&e.Customer)
	at, then := time.Now(), "another has come with a newer fence"
	select {
	case <-o.bank.overtaken(e):
	case <-time.After(o.cfg.Length + 10*o.cfg.TTL):
		then = "and nobody came instead"
	case <-o.ctx.Done():
		then = "as all is over"
	}
	o.stopped.Store(nil)
	if err := proceed(p); err != nil {
		o.say("worker %d does not go on: %v", worker, err)
		return
	}
	o.say("worker %d goes on, after %.1f s: %s", worker, time.Since(at).Seconds(), then)
}

func (o *office) show() {
	count, have, want := o.bank.audit()
	o.say("%6d deposits %6d transfers %4d statements   %d of %d is there", count.deposits, count.transfers, count.statements, have, want)
}

func (o *office) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.out, "%5.1f s  %s\n", time.Since(o.start).Seconds(), fmt.Sprintf(format, args...))
}
