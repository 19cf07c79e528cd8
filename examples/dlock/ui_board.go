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
	maxShown   = 200 // keys, each of which is inspected once a second
	maxStreams = 16  // pages that are open
	inspectors = 8   // requests at the same time
	lookEvery  = time.Second
	sendEvery  = 100 * time.Millisecond
	memory     = time.Minute      // of the strip
	patient    = 10 * time.Second // for so long it goes on when no page is open: it may be reloaded
	// impatient is how long Redis has to answer a round of requests.
	impatient = 900 * time.Millisecond
)

// A board knows what the page shows. It asks Redis only while a page is open. All but the streams
// belongs to the goroutine of run.
type board struct {
	rdb      *redis.Client
	scanner  scanner
	commands commandCount

	rows    map[string]*row
	gone    map[string]int64 // id -> version
	version int64
	down    *outage
	skew    time.Duration // how far the clock of Redis is ahead of ours
	cost    int64         // commands in the last second
	hidden  int           // keys that are busy, and are more than can be shown
	deaf    bool          // it does not receive hand-overs
	release bool          // the page may take locks away

	mu      sync.Mutex
	streams map[*stream]bool
	joined  chan struct{}
	cancel  context.CancelFunc // nil while no page is open
	ended   sync.WaitGroup
}

// An outage is that Redis does not answer.
type outage struct {
	Since int64  `json:"since"`
	Error string `json:"error"`
}

func newBoard(rdb *redis.Client, filter string) *board {
	o := *rdb.Options()
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialTimeout = true, -1, impatient
	b := &board{
		rdb: redis.NewClient(&o), rows: map[string]*row{}, gone: map[string]int64{}, streams: map[*stream]bool{}, joined: make(chan struct{}, 1),
		scanner: newScanner(filter),
	}
	b.rdb.AddHook(&b.commands)
	return b
}

// wait ends the board.
func (b *board) wait() {
	b.mu.Lock()
	if b.cancel != nil {
		b.cancel()
	}
	b.mu.Unlock()
	b.ended.Wait()
	_ = b.rdb.Close()
}

// run looks once a second and receives hand-overs in between, until no page is open.
func (b *board) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan heard, 4096)
	b.ended.Go(func() { listen(ctx, b.rdb, heard) })
	look, send := time.NewTicker(lookEvery), time.NewTicker(sendEvery)
	defer look.Stop()
	defer send.Stop()
	b.look(ctx)
	b.send()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case h := <-heard:
			b.hear(h)
		case <-b.joined:
			b.send()
		case <-send.C:
			b.send()
		case <-look.C:
			for range len(heard) { // what was heard before the look
				b.hear(<-heard)
			}
			b.look(ctx)
			if b.watched() {
				last = time.Now()
			} else if time.Since(last) > patient && b.rest() {
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

// change notes that the row may have to be sent.
func (b *board) change(r *row) {
	if r.render(b.version + 1) {
		b.version++
	}
}

// look finds keys, and inspects those that are shown.
func (b *board) look(ctx context.Context) {
	before := b.commands.n.Load()
	ctx, cancel := context.WithTimeout(ctx, impatient)
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
	case ctx.Err() != nil && ctx.Err() != context.DeadlineExceeded: // it ends
	case b.down == nil:
		b.down = &outage{Since: start.UnixMilli(), Error: because(err)}
	}
	b.version++ // so that figures are sent
	for id, version := range b.gone {
		if version < b.version-1000 {
			delete(b.gone, id)
		}
	}
}

// A sight is the result of Inspect for one key.
type sight struct {
	name   string
	status status
	err    error
	at     time.Time
}

// inspect asks for the keys that are shown, and for some that may have to be.
func (b *board) inspect(ctx context.Context) error {
	shown := slices.SortedFunc(maps.Values(b.rows), func(x, y *row) int { return cmp.Or(y.busy.Compare(x.busy), cmp.Compare(x.name, y.name)) })
	names := make([]sight, 0, maxShown)
	for _, r := range shown {
		names = append(names, sight{name: r.name, status: status{Kind: r.kind}})
	}
	for _, found := range b.scanner.next(maxShown-len(names), func(name string) bool { return b.rows[name] != nil }) {
		names = append(names, sight{name: found})
	}
	var wg sync.WaitGroup
	todo := make(chan *sight, len(names))
	for i := range names {
		todo <- &names[i]
	}
	close(todo)
	for range inspectors {
		wg.Go(func() {
			for s := range todo {
				s.at = time.Now()
				if s.status.Kind == "" || s.status.Kind == isFree {
					s.status, s.err = look(ctx, b.rdb, s.name)
				} else {
					s.status, s.err = lookAs(ctx, b.rdb, s.name, s.status.Kind)
				}
			}
		})
	}
	wg.Wait()
	for i := range names {
		s := &names[i]
		r := b.rows[s.name]
		var f *failure
		switch misfit := errors.As(s.err, &f) && f.status == exitUsage; {
		case s.err != nil && !misfit:
			return s.err
		case misfit && r != nil: // it is of another kind by now, which the next look finds
			r.kind = ""
			b.remove(r)
		case misfit:
			b.scanner.forget(s.name)
		case s.status.idle():
			if r != nil {
				r.seen(s.status, s.at, b.skew)
				if r.settled() {
					b.remove(r)
				} else {
					b.change(r)
				}
			}
		default:
			if r == nil {
				r = b.add(s.name)
			}
			r.seen(s.status, s.at, b.skew)
			b.change(r)
		}
	}
	b.hidden = max(0, len(b.scanner.found)-maxShown)
	return nil
}
