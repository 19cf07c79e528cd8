package client

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// stubStore is a store whose subscription delivers no messages.
type stubStore struct{}

func (stubStore) Renew([]Renewal, func(int) bool, func(int, RenewResult)) {}
func (stubStore) MaxBlock() time.Duration                                 { return 300 * time.Millisecond }
func (stubStore) Subscribe(ctx context.Context, _ MessageHandler)         { <-ctx.Done() }

// TestSubscriptionLingers uses the subscription repeatedly, which keeps it and its workers open, and then
// stops.
func TestSubscriptionLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(stubStore{}, nil)
		open := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if open := c.subscription.cancel != nil; open != (c.workers.Load() != nil) {
				t.Error("only one of subscription and workers exists")
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
				t.Fatal("the subscription was closed while it was in use")
			}
			use()
		}
		time.Sleep(SubscriptionIdle - time.Nanosecond)
		if !open() {
			t.Error("the subscription was closed too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if open() || !c.AtRest() {
			t.Error("the subscription stays open")
		}
	})
}

// recorder is a listener that counts its messages.
type recorder int

func (r *recorder) HandleMessage(Message) { *r++ }
func (r *recorder) SetSubscribed(bool)    {}

// TestMessageReachesItsChannelOnly delivers messages with and without a listener for their channel.
// Without a listener a message is dropped, as the process would take it for a hand-over.
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
		t.Errorf("the process has received %d messages and the listener %d, want 2 and 1", process, one)
	}
}
