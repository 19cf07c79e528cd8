package main

import (
	"slices"
	"time"
)

// A fault is something that is done to the servers, to the network or to the workers.
type fault struct {
	name   string
	rows   string   // of the matrix of faults
	loses  bool     // what Redis was told: only fences are promised for a while
	on     []string // topologies; none for all
	bound  func(b bounds) time.Duration
	inject func(x *injection) error // returns when the fault has been healed
}

func (f fault) fits(topology string) bool { return len(f.on) == 0 || slices.Contains(f.on, topology) }

// bounds are the letters of PROTOCOL.md, of which bounds of recovery are made.
type bounds struct {
	T time.Duration // TTL
	G time.Duration // TTL that a hand-over gives
	P time.Duration // poll bound
	C time.Duration // of a command that gets no answer
	R time.Duration // until go-redis dials again
}

func newBounds(ttl time.Duration) bounds {
	const poll = 1200 * time.Millisecond
	return bounds{T: ttl, G: min(ttl, 3*poll), P: poll, C: commandTimeout, R: time.Second}
}

// A message that is lost, or late, is found by polling.
func (b bounds) message() time.Duration { return b.P }

// A command that gets no answer is given up, and asked again.
func (b bounds) reply() time.Duration { return b.C + b.P }

// Who was cut off connects again. What was held runs out, for it could not be
// released; and the lock may be handed to a ghost, which a request has left that was
// executed when its sender had given it up.
func (b bounds) outage() time.Duration { return b.C + b.R + b.P + b.T + b.G }

// A dead holder's key runs out, or is polled for; a dead waiter is handed the lock.
func (b bounds) death() time.Duration { return b.T + b.P + b.G + b.P }

// faults are all that there are, in no order that matters.
var faults = slices.Concat(networkFaults, messageFaults, serverFaults, lossFaults, processFaults, topologyFaults)
