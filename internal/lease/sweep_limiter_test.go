package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSweepLimiter does for a rate limit what TestSweepMutex does for a lock: tokens
// are taken by a wait that succeeds, and by no other.
func TestSweepLimiter(t *testing.T) {
	var all []scenario
	for name, others := range map[string]int{"free": 0, "turn": 1, "behind two": 2} {
		all = append(all, reservations("limiter/"+name, others)...)
	}
	sweepAll(t, all)
}

// reservation is for one in two seconds.
func reservation(id string) ratelimit.Reservation {
	return ratelimit.Reservation{Op: "wait", Key: "key", ID: id, N: 1, Rate: 0.5, Burst: 1, Client: new(ratelimit.Client)}
}

// reservations are waits behind that many others.
func reservations(name string, others int) []scenario {
	scene := func(form string, request func(w *sweep) error) scenario {
		return scenario{name + "/" + form, 3, func(w *sweep) {
			b := w.process("B")
			for i := range others {
				r := reservation(string(rune('b' + i)))
				r.MaxWait = ratelimit.NoMaxWait
				_, _ = b.Take(w.Context(), r)
			}
			w.arm()
			err := request(w)
			w.paid(err == nil)
		}}
	}
	return []scenario{
		scene("call", func(w *sweep) error {
			return w.await(retry.CancelTimeout, nil, func(ctx context.Context) error { return reservation("a").Wait(ctx, w.us) })
		}),
		scene("channel", func(w *sweep) error {
			box := result.NewChan(result.ErrorOnly{})
			defer w.nothing(box)
			return w.await(retry.CancelTimeout, nil, func(ctx context.Context) error {
				reservation("a").WaitChan(ctx, w.us, box)
				return <-box.C()
			})
		}),
		scene("abandoned", func(w *sweep) error {
			box := result.NewChan(result.ErrorOnly{})
			reservation("a").WaitChan(w.ctx, w.us, box)
			time.Sleep(time.Duration(others)*2*time.Second + time.Second) // its turn has come, and it is not too late to give it back
			if at, _ := w.ended(); at.IsZero() {                          // it may, after the last event
				w.end()
			}
			time.Sleep(time.Second)
			err := <-box.C()
			if err == nil {
				w.Error("a turn that nobody has received is not given back")
			}
			w.refused(err, nil)
			w.nothing(box)
			return err
		}),
	}
}

// paid checks that our draw has tokens if it has succeeded, and none else: when
// the call has returned, or at the latest when giving them back is given up.
func (w *sweep) paid(succeeded bool) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	if w.plan.j > 0 {
		time.Sleep(ratelimit.Retention)
	}
	want := 0
	if succeeded {
		want = 1
	}
	w.rateStore.mu.Lock()
	defer w.rateStore.mu.Unlock()
	if got := w.rateStore.net["a"]; got != want {
		w.Errorf("the wait has taken %d tokens, want %d", got, want)
	}
}
