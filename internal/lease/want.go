package lease

// A want is what a claim asks Redis for.
type want struct {
	weight       int64             // in permits, 0 for nothing
	seq          int64             // number of the first request for them; 0 for a Mutex
	size         int64             // of the semaphore, as stated by the lease that the claim last asked for
	shared       bool              // they are to be shared
	headMustWait bool              // the answer to the last request was no
	alwaysQueue  bool              // queues, whether hand-overs can be heard or not
	confirm      Confirm           // of the grant
	confirming   *unconfirmedGrant // what Redis has granted, and no replica has confirmed yet
	tryUntil     monoTime          // a try waits until then for a claim that may linger; 0 if it has met none
}

// setWant makes the claim want what a lease needs.
func (c *claim) setWant(l *Lease) {
	w := want{weight: l.weight, size: l.size, shared: l.shared, confirm: l.confirm}
	if c.hold.weight > 0 && c.want.confirm.Replicas >= w.confirm.Replicas {
		w.confirm = c.want.confirm
	}
	if c.queue.name.Kind != Mutex {
		w.seq = c.requests.seq + 1
	}
	if c.hold.weight == 0 || l.ttl > c.ttl { // never less for those who hold already
		c.ttl = l.ttl
	}
	c.want = w
}

// asks reports whether the claim wants what Redis has not given it yet.
func (c *claim) asks() bool {
	return c.state == claimActive && c.want.weight > 0 && c.want.confirming == nil
}

// isFor reports whether what the claim wants is what the lease needs. It is not
// if that which it was for has given up: something larger may be out of reach
// while this one would fit.
func (w *want) isFor(l *Lease) bool {
	return w.weight == l.weight && w.shared == l.shared && w.size == l.size
}

// unconfirmed returns why a grant to the claim is being given back, nil if none is.
func (w *want) unconfirmed() error {
	if w.confirming == nil {
		return nil
	}
	return w.confirming.err
}

// canRequestMore reports whether the claim may ask for more than it holds: not while a
// lease has all of it that there is.
func (c *claim) canRequestMore() bool {
	return c.hold.used == 0 || c.hold.shared || c.queue.name.Kind == Semaphore
}

// mayRequest reports whether a try may ask for more than the claim holds: not while
// leases here have what it wants.
func (c *claim) mayRequest(try *Lease) bool {
	return c.hold.used == 0 || c.canRequestMore() && (try.shared || !c.hold.shared)
}
