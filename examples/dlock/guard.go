package main

import (
	"fmt"
	"os"
	"time"
)

// guard waits for the end of the child, and ends it before the lease does. It returns the exit
// status. It reports again if the lock was lost, unless a signal has ended dlock.
func guard(h *hold, c *child, signals <-chan os.Signal, ttl time.Duration) (status int, again bool) {
	g := &guardian{hold: h, child: c, ttl: ttl}
	for {
		look := time.NewTimer(g.look())
		select {
		case status := <-c.ended:
			look.Stop()
			c.over()
			if g.reason == "" {
				return status, false
			}
			c.kill() // what it has started, and has not ended with it
			// Not before: a terminal that stands still, or a pipe that is full, would keep us.
			fmt.Fprintf(os.Stderr, "dlock: the lock was lost: %s; the command has been ended\n", g.reason)
			return exitLost, !g.signalled
		case <-h.Done():
			g.lost()
		case sig := <-signals:
			g.signalled = g.signalled || ends(sig)
			c.pass(sig)
		case sig := <-c.stopped:
			c.suspend(sig, func() bool { return h.Err() == nil })
		case <-look.C:
		}
		look.Stop()
	}
}

// A guardian knows how much time there is to end the child.
type guardian struct {
	*hold
	child  *child
	ttl    time.Duration
	window time.Duration // what was left when it was last renewed
	until  time.Time     // when it ends unless it is renewed
	reason string        // why the child is being ended, if it is

	signalled bool // dlock must end
}

// grace is how long the child has from SIGTERM to SIGKILL if the lease cannot be renewed.
func (g *guardian) grace() time.Duration { return min(g.window/5, 5*time.Second) }

// look warns the child if the lease is about to end, and returns when to look again.
func (g *guardian) look() time.Duration {
	left := g.Remaining()
	if until := time.Now().Add(left); left > 0 && until.After(g.until.Add(time.Millisecond)) {
		g.until, g.window = until, left
	}
	if left > 0 && left <= g.grace() {
		g.end("it could not be renewed")
	}
	if left > g.grace() {
		return left - g.grace()
	}
	return max(left, time.Millisecond) // until h.Done
}

// end asks the child to end.
func (g *guardian) end(reason string) {
	if g.reason == "" {
		g.reason = reason
		g.child.terminate()
	}
}

// lastWord is the most that the child has between SIGTERM and SIGKILL when the lock is gone.
const lastWord = 100 * time.Millisecond

// lost kills the child at once if the lease has expired: another process may have the lock from now
// on. If Redis has reported the loss before that, the child first gets SIGTERM and lastWord.
func (g *guardian) lost() {
	if left := time.Until(g.until); left > g.window/20 { // not a matter of a timer's exactness
		g.end("Redis reports that it is lost")
		select {
		case status := <-g.child.ended:
			g.child.ended <- status // for guard
		case <-time.After(min(g.ttl/100+time.Millisecond, lastWord)):
		}
	}
	g.end("it has expired")
	g.child.kill()
	g.child.ended <- <-g.child.ended
}
