package lease

import "time"

// member is the [Mail] of one lease of a group. What is put there goes to the
// group, which has the lease in hand from then on; but when the group lies in a
// mail of its own, the lease is received when that is, and goes back with it.
type member struct {
	group   *Group
	decided chan error // capacity 1
}

func (m member) Put(err error) { m.decided <- err }

func (m member) TakeBack() bool {
	select {
	case <-m.decided:
		return true
	default:
		return m.group.takeBack()
	}
}

func (m member) Received() bool { return len(m.decided) == 0 && m.group.renewable() }

// renewable reports whether the group's leases may be renewed: while it waits for
// the rest of them, and from its reception until MaxHold is over.
func (g *Group) renewable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return (g.mail == nil || g.mail.Received()) && (g.maxHold == 0 || g.since.IsZero() || time.Since(g.since) < g.maxHold)
}

// overdue reports whether MaxHold is over.
func (g *Group) overdue() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.maxHold != 0 && !g.since.IsZero() && time.Since(g.since) >= g.maxHold
}

// takeBack takes the group out of its mail, if it lies there, because ctx has
// ended or one of its leases has: then the others are given back, too, and the
// mail gets the reason. It reports whether it was taken back, now or before. The
// mutex of a lease's line may be held.
func (g *Group) takeBack() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.offered && g.mail.TakeBack() {
		g.offered, g.back = false, true
		err := ErrLost
		if g.ctx.Err() != nil {
			err = g.leases[0].wrap(ctxError(g.ctx), nil)
		}
		go func() {
			g.leases[0].line.keeper.giveBackAll(g.ctx, g.leases, false)
			g.stop()
			g.mail.Put(err)
		}()
	}
	return g.back
}
