package lease

import (
	"context"
	"testing"
	"time"
)

// TestWalkLimiter does for a rate limit what TestWalkMutex does for a lock: tokens
// are taken by a wait that succeeds, and by no other.
func TestWalkLimiter(t *testing.T) {
	var all []scenario
	for name, others := range map[string]int{"free": 0, "turn": 1, "behind two": 2} {
		all = append(all, draws("limiter/"+name, others)...)
	}
	walkAll(t, all)
}

// draw is for one in two seconds.
func draw(id string) Draw {
	return Draw{Op: "wait", Key: "key", ID: id, N: 1, Rate: 0.5, Burst: 1, Refunds: new(Backlog)}
}

// draws are waits behind that many others.
func draws(name string, others int) []scenario {
	scene := func(form string, request func(w *walk) error) scenario {
		return scenario{name + "/" + form, 3, func(w *walk) {
			b := w.process("B")
			for i := range others {
				d := draw(string(rune('b' + i)))
				d.Longest = Forever
				_, _ = b.Take(w.Context(), d)
			}
			w.arm()
			err := request(w)
			w.paid(err == nil)
		}}
	}
	return []scenario{
		scene("call", func(w *walk) error {
			return w.await(courtesy, nil, func(ctx context.Context) error { return draw("a").Wait(ctx, w.us) })
		}),
		scene("channel", func(w *walk) error {
			box := NewBox(Bare{})
			defer w.nothing(box)
			return w.await(courtesy, nil, func(ctx context.Context) error {
				draw("a").WaitChan(ctx, w.us, box)
				return <-box.C()
			})
		}),
		scene("abandoned", func(w *walk) error {
			box := NewBox(Bare{})
			draw("a").WaitChan(w.ctx, w.us, box)
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
func (w *walk) paid(succeeded bool) {
	w.mu.Lock()
	w.ours = len(w.points)
	w.mu.Unlock()
	if w.plan.j > 0 {
		time.Sleep(Memory)
	}
	want := 0
	if succeeded {
		want = 1
	}
	w.bucket.mu.Lock()
	defer w.bucket.mu.Unlock()
	if got := w.bucket.net["a"]; got != want {
		w.Errorf("the wait has taken %d tokens, want %d", got, want)
	}
}
