package main

import (
	"fmt"
	"os"
	"time"
)

// guard waits until the child ends, and ends the child before the lease expires. It returns the exit
// status, and whether a leader should campaign again: after a loss, unless a signal has ended dlock.
func guard(h *hold, c *child, signals <-chan os.Signal, ttl time.Duration) (status int, again bool) {
	g := &guardian{hold: h, child: c, ttl: ttl}
	for {
		timer := time.NewTimer(g.check())
		select {
		case status := <-c.ended:
			timer.Stop()
			c.cleanUp()
			if g.reason == "" {
				return status, false
			}
			c.kill() // processes of the group that are left
			// Print after the kill, because a stopped terminal or a full pipe blocks here.
			fmt.Fprintf(os.Stderr, "dlock: the lock was lost: %s; dlock has ended the command\n", g.reason)
			return exitLost, !g.signalled
		case <-h.Done():
			g.handleLoss()
		case sig := <-signals:
			g.signalled = g.signalled || terminates(sig)
			c.pass(sig)
		case sig := <-c.stopped:
			c.suspend(sig, func() bool { return h.Err() == nil })
		case <-timer.C:
		}
		timer.Stop()
	}
}

// A guardian tracks how much time is left to end the child.
type guardian struct {
	*hold
	child  *child
	ttl    time.Duration
	window time.Duration // remaining time after the last renewal
	until  time.Time     // when the lease expires unless it is renewed
	reason string        // why the child must end, or ""

	signalled bool // a signal has ended dlock
}

// grace is how long the child has from SIGTERM to SIGKILL if the lease cannot be renewed.
func (g *guardian) grace() time.Duration { return min(g.window/5, 5*time.Second) }

// check terminates the child if the lease is about to expire, and returns when to check again.
func (g *guardian) check() time.Duration {
	left := g.Remaining()
	if until := time.Now().Add(left); left > 0 && until.After(g.until.Add(time.Millisecond)) {
		g.until, g.window = until, left
	}
	if left > 0 && left <= g.grace() {
		g.terminate("the lease could not be renewed")
	}
	if left > g.grace() {
		return left - g.grace()
	}
	return max(left, time.Millisecond) // until h.Done
}

// terminate asks the child to end.
func (g *guardian) terminate(reason string) {
	if g.reason == "" {
		g.reason = reason
		g.child.terminate()
	}
}

// killDelay is the maximum time between SIGTERM and SIGKILL when Redis has reported the loss.
const killDelay = 100 * time.Millisecond

// handleLoss kills the child at once if the lease has expired, because another process may have the
// lock from now on. If Redis has reported the loss earlier, the child first gets SIGTERM.
func (g *guardian) handleLoss() {
	if left := time.Until(g.until); left > g.window/20 { // clearly before the expiry, whatever the timer's precision
		g.terminate("Redis reported the loss")
		select {
		case status := <-g.child.ended:
			g.child.ended <- status // for guard
		case <-time.After(min(g.ttl/100+time.Millisecond, killDelay)):
		}
	}
	g.terminate("the lease has expired")
	g.child.kill()
	g.child.ended <- <-g.child.ended
}
