package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A stream is an open page.
type stream struct {
	key     string // id of the row whose strip is wanted
	frames  chan []byte
	version int64 // that it has been sent
	begun   bool
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
