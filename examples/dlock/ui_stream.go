package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A stream is an open page.
type stream struct {
	key     string // id of the row whose strip the page shows
	frames  chan []byte
	version int64 // last version sent
	started bool
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
	case b.opened <- struct{}{}:
	default:
	}
	return s, nil
}

func (b *board) unsubscribe(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
}

func (b *board) hasStreams() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams) > 0
}

// stopIfIdle stops run if no page is open, and reports whether it did.
func (b *board) stopIfIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.streams) > 0 {
		return false
	}
	b.cancel()
	b.cancel = nil
	b.rows, b.gone, b.polling = map[string]*row{}, map[string]int64{}, false
	return true
}

// A frame is one message to the page.
type frame struct {
	Now     int64       `json:"now"` // in ms by the local clock, like all times
	Reset   bool        `json:"reset,omitempty"`
	Rows    []rowView   `json:"rows,omitempty"`
	Gone    []string    `json:"gone,omitempty"`
	Strip   []blockView `json:"strip,omitempty"`
	Queue   [][2]int64  `json:"queue,omitempty"` // time, waiting processes
	Down    *outage     `json:"down"`
	Found   int         `json:"found"`
	Hidden  int         `json:"hidden,omitempty"`
	Cost    int64       `json:"cost"`
	Polling bool        `json:"polling,omitempty"`
	Release bool        `json:"release,omitempty"`
	Server  string      `json:"server,omitempty"`
}

// send sends each page the changes since its last frame.
func (b *board) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		if s.started && s.version == b.version {
			continue
		}
		f := frame{Now: time.Now().UnixMilli(), Reset: !s.started, Down: b.down, Found: len(b.scanner.found), Hidden: b.hidden, Cost: b.cost, Polling: b.polling}
		for _, r := range b.rows {
			if r.version > s.version || !s.started {
				f.Rows = append(f.Rows, r.sent)
			}
			if r.view.ID == s.key {
				f.Strip, f.Queue = r.strip.since(s.version), r.queue
				if s.started { // the page has the earlier polls
					f.Queue = r.queue[max(0, len(r.queue)-1):]
				}
			}
		}
		if !s.started {
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
			panic(err) // no field can fail
		}
		select {
		case s.frames <- text:
			s.version, s.started = b.version, true
		default: // the page is too slow: it reconnects and receives all rows
			close(s.frames)
			delete(b.streams, s)
		}
	}
}
