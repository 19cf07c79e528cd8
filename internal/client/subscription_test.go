package client

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// stubStore is a store whose subscription brings nothing.
type stubStore struct{}

func (stubStore) Renew([]Renewal, func(int) bool, func(int, RenewResult)) {}
func (stubStore) MaxBlock() time.Duration                                 { return 300 * time.Millisecond }
func (stubStore) Subscribe(ctx context.Context, _ MessageHandler)         { <-ctx.Done() }

// TestSubscriptionLingers uses the subscription again and again, which keeps it and its
// workers, and then rests.
func TestSubscriptionLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(stubStore{}, nil)
		open := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if open := c.subscription.cancel != nil; open != (c.workers.Load() != nil) {
				t.Error("subscription and workers are not there at the same time")
			}
			return c.subscription.cancel != nil
		}
		use := func() {
			c.AddUser()
			c.Subscribe()
			c.RemoveUser()
		}
		use()
		for range 10 {
			time.Sleep(SubscriptionIdle * 2 / 3)
			if !open() {
				t.Fatal("it was closed while it was of use")
			}
			use()
		}
		time.Sleep(SubscriptionIdle - time.Nanosecond)
		if !open() {
			t.Error("it was closed too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if open() || !c.AtRest() {
			t.Error("it stays open")
		}
	})
}

// recorder is a listener that counts its messages.
type recorder int

func (r *recorder) HandleMessage(Message) { *r++ }
func (r *recorder) SetSubscribed(bool)    {}

// TestMessageReachesItsChannelOnly: a message is for the listener of its channel. Without one it
// is dropped, as the process would take it for a hand-over.
func TestMessageReachesItsChannelOnly(t *testing.T) {
	var process, one recorder
	c := New(stubStore{}, &process)
	h := &subscriptionHandler{c, t.Context()}
	c.Listen("one", &one)
	h.HandleMessage("one", Message{Seq: 7, Token: "-"})
	h.HandleMessage("another", Message{Seq: 7, Token: "-"})
	h.HandleMessage(c.Channel(), Message{})
	h.HandleMessage(c.Channel(), Message{})
	c.StopListening("one")
	h.HandleMessage("one", Message{Seq: 7, Token: "-"})
	if process != 2 || one != 1 {
		t.Errorf("the process has %d messages and the listener %d, want 2 and 1", process, one)
	}
}
