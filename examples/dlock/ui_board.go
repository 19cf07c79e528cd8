package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	engine "github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/mutex"
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
	deaf    bool          // it does not hear of hand-overs when they happen
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

// A stream is an open page.
type stream struct {
	key     string // id of the row whose strip is wanted
	frames  chan []byte
	version int64 // that it has been sent
	begun   bool
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

func (b *board) subscribe(key string) (*stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.streams) >= maxStreams {
		return nil, errors.New("too many pages are open")
	}
	s := &stream{key: key, frames: make(chan []byte, 32)}
	b.streams[s] = true
	if b.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		b.cancel = cancel
		b.ended.Go(func() { b.run(ctx) })
	}
	select {
	case b.joined <- struct{}{}:
	default:
	}
	return s, nil
}

func (b *board) unsubscribe(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
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

// run looks once a second and hears of hand-overs in between, until no page is open.
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

func (b *board) watched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams) > 0
}

// rest reports whether run may end, because no page is open.
func (b *board) rest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.streams) > 0 {
		return false
	}
	b.cancel()
	b.cancel = nil
	b.rows, b.gone, b.deaf = map[string]*row{}, map[string]int64{}, false
	return true
}

// A heard is a hand-over, or that hand-overs are heard from now on, or no longer.
type heard struct {
	handover *engine.Handover
	deaf     bool
	at       time.Time
}

// listen puts hand-overs into to. Those for which there is no room are dropped: the next look
// shows what they have led to.
func listen(ctx context.Context, rdb *redis.Client, to chan<- heard) {
	for ctx.Err() == nil {
		_ = redisstore.WatchHandovers(ctx, rdb, func() { to <- heard{} }, func(h engine.Handover) {
			select {
			case to <- heard{handover: &h, at: time.Now()}:
			default:
			}
		})
		select {
		case to <- heard{deaf: true}:
		case <-ctx.Done():
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// kinds are the words of the page for those of messages.
var kinds = map[engine.Kind]string{engine.Mutex: isMutex, engine.RWMutex: isRWMutex, engine.Semaphore: isSemaphore}

func (b *board) hear(h heard) {
	kind := ""
	switch {
	case h.handover == nil:
		b.deaf = h.deaf
		return
	case !b.scanner.wants(h.handover.Key):
		return
	default:
		kind = kinds[h.handover.Kind]
	}
	r := b.rows[h.handover.Key]
	if r == nil {
		if len(b.rows) >= maxShown {
			return
		}
		r = b.add(h.handover.Key)
	}
	if kind != isMutex || !exclusive(r.kind) { // a message does not tell what is beside a mutex
		r.kind = kind
	}
	r.handedOver(mutex.Owner(client.ParseOwner(h.handover.Token)), h.handover.FenceBase*engine.FencesPerGrant, h.at)
	b.change(r)
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

// A sight is what Inspect says of a key.
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
		case misfit && r != nil: // it is of another kind by now, which the next look tells
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

// A frame is what a page is sent.
type frame struct {
	Now     int64       `json:"now"` // in ms, by our clock, as all times
	Reset   bool        `json:"reset,omitempty"`
	Rows    []rowView   `json:"rows,omitempty"`
	Gone    []string    `json:"gone,omitempty"`
	Strip   []blockView `json:"strip,omitempty"`
	Queue   [][2]int64  `json:"queue,omitempty"` // time, waiting processes
	Down    *outage     `json:"down"`
	Found   int         `json:"found"`
	Hidden  int         `json:"hidden,omitempty"`
	Cost    int64       `json:"cost"`
	Deaf    bool        `json:"deaf,omitempty"`
	Release bool        `json:"release,omitempty"`
	Server  string      `json:"server,omitempty"`
}

// send sends each page what has changed since it was sent anything.
func (b *board) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		if s.begun && s.version == b.version {
			continue
		}
		f := frame{Now: time.Now().UnixMilli(), Reset: !s.begun, Down: b.down, Found: len(b.scanner.found), Hidden: b.hidden, Cost: b.cost, Deaf: b.deaf}
		for _, r := range b.rows {
			if r.version > s.version || !s.begun {
				f.Rows = append(f.Rows, r.sent)
			}
			if r.view.ID == s.key {
				f.Strip, f.Queue = r.strip(s.version, s.begun)
			}
		}
		if !s.begun {
			f.Server, f.Release = b.rdb.Options().Addr, b.release
		} else {
			for id, version := range b.gone {
				if version > s.version {
					f.Gone = append(f.Gone, id)
				}
			}
		}
		text, err := json.Marshal(f)
		if err != nil {
			panic(err) // no field of it can fail
		}
		select {
		case s.frames <- text:
			s.version, s.begun = b.version, true
		default: // it will come back, and be sent all
			close(s.frames)
			delete(b.streams, s)
		}
	}
}
