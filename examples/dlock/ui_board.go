package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	maxShown     = 200 // keys on the page, each inspected once a second
	maxStreams   = 16  // open pages
	inspectors   = 8   // concurrent Inspect requests
	pollInterval = time.Second
	sendInterval = 100 * time.Millisecond
	stripLength  = time.Minute      // shown by the strip
	idleTimeout  = 10 * time.Second // how long polling continues without an open page, so that a page can be reloaded
	// pollTimeout limits the requests of one poll.
	pollTimeout = 900 * time.Millisecond
)

// A board has the data of the page. It polls Redis only while a page is open. Only the goroutine of
// run may use its fields, except for the streams, which mu guards.
type board struct {
	rdb      *redis.Client
	scanner  scanner
	commands commandCount
	interval time.Duration // between polls; tests poll more often

	rows    map[string]*row
	gone    map[string]int64 // id -> version
	version int64
	down    *outage
	skew    time.Duration // Redis' clock minus the local clock
	cost    int64         // commands of the last poll
	hidden  int           // busy keys beyond maxShown
	polling bool          // no hand-overs are received
	release bool          // the page may release locks

	mu      sync.Mutex
	streams map[*stream]bool
	opened  chan struct{}
	cancel  context.CancelFunc // nil while no page is open
	ended   sync.WaitGroup
}

// An outage is a time in which Redis does not answer.
type outage struct {
	Since int64  `json:"since"`
	Error string `json:"error"`
}

func newBoard(rdb *redis.Client, filter string) *board {
	o := *rdb.Options()
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialTimeout = true, -1, pollTimeout
	b := &board{
		rdb: redis.NewClient(&o), rows: map[string]*row{}, gone: map[string]int64{}, streams: map[*stream]bool{}, opened: make(chan struct{}, 1),
		scanner: newScanner(filter), interval: pollInterval,
	}
	b.rdb.AddHook(&b.commands)
	return b
}

// wait stops polling and waits for it.
func (b *board) wait() {
	b.mu.Lock()
	if b.cancel != nil {
		b.cancel()
	}
	b.mu.Unlock()
	b.ended.Wait()
	_ = b.rdb.Close()
}

// run polls once a second and receives hand-overs in between, until no page is open.
func (b *board) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan handoverEvent, 4096)
	b.ended.Go(func() { receiveHandovers(ctx, b.rdb, events) })
	poll, send := time.NewTicker(b.interval), time.NewTicker(sendInterval)
	defer poll.Stop()
	defer send.Stop()
	b.poll(ctx)
	b.send()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case h := <-events:
			b.handleEvent(h)
		case <-b.opened:
			b.send()
		case <-send.C:
			b.send()
		case <-poll.C:
			for range len(events) { // received before the poll
				b.handleEvent(<-events)
			}
			b.poll(ctx)
			if b.hasStreams() {
				last = time.Now()
			} else if time.Since(last) > idleTimeout && b.stopIfIdle() {
				return
			}
		}
	}
}

func (b *board) add(name string) *row {
	r := newRow(name)
	b.rows[name] = r
	delete(b.gone, r.view.ID)
	return r
}

func (b *board) remove(r *row) {
	delete(b.rows, r.name)
	b.version++
	b.gone[r.view.ID] = b.version
}

// change renders the row and marks it for sending if it differs.
func (b *board) change(r *row) {
	if r.render(b.version + 1) {
		b.version++
	}
}

// poll scans for keys, and inspects the keys that are shown.
func (b *board) poll(ctx context.Context) {
	before := b.commands.n.Load()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	start := time.Now()
	now, err := b.rdb.Time(ctx).Result()
	if err == nil {
		b.skew = now.Sub(start.Add(time.Since(start) / 2))
		err = b.scanner.step(ctx, b.rdb)
	}
	if err == nil {
		err = b.inspect(ctx)
	}
	b.cost = b.commands.n.Load() - before
	switch {
	case err == nil:
		b.down = nil
	case ctx.Err() != nil && ctx.Err() != context.DeadlineExceeded: // the board is stopped
	case b.down == nil:
		b.down = &outage{Since: start.UnixMilli(), Error: rootCause(err)}
	}
	b.version++ // so that the totals are sent
	for id, version := range b.gone {
		if version < b.version-1000 {
			delete(b.gone, id)
		}
	}
}

// An inspection is the result of Inspect for one key.
type inspection struct {
	name   string
	status status
	err    error
	at     time.Time
}

// inspect inspects the keys that are shown, and some candidates.
func (b *board) inspect(ctx context.Context) error {
	shown := slices.SortedFunc(maps.Values(b.rows), func(x, y *row) int { return cmp.Or(y.busy.Compare(x.busy), cmp.Compare(x.name, y.name)) })
	names := make([]inspection, 0, maxShown)
	for _, r := range shown {
		names = append(names, inspection{name: r.name, status: status{Kind: r.kind}})
	}
	for _, found := range b.scanner.next(maxShown-len(names), func(name string) bool { return b.rows[name] != nil }) {
		names = append(names, inspection{name: found})
	}
	var wg sync.WaitGroup
	todo := make(chan *inspection, len(names))
	for i := range names {
		todo <- &names[i]
	}
	close(todo)
	for range inspectors {
		wg.Go(func() {
			for s := range todo {
				s.at = time.Now()
				if s.status.Kind == "" || s.status.Kind == isFree {
					s.status, s.err = inspectKey(ctx, b.rdb, s.name)
				} else {
					s.status, s.err = inspectAs(ctx, b.rdb, s.name, s.status.Kind)
				}
			}
		})
	}
	wg.Wait()
	for i := range names {
		s := &names[i]
		r := b.rows[s.name]
		var f *failure
		switch wrongKind := errors.As(s.err, &f) && f.status == exitUsage; {
		case s.err != nil && !wrongKind:
			return s.err
		case wrongKind && r != nil: // the kind has changed; the next poll finds it
			r.kind = ""
			b.remove(r)
		case wrongKind:
			b.scanner.forget(s.name)
		case s.status.idle():
			if r != nil {
				r.applyStatus(s.status, s.at, b.skew)
				if r.removable() {
					b.remove(r)
				} else {
					b.change(r)
				}
			}
		default:
			if r == nil {
				r = b.add(s.name)
			}
			r.applyStatus(s.status, s.at, b.skew)
			b.change(r)
		}
	}
	b.hidden = max(0, len(b.scanner.found)-maxShown)
	return nil
}
