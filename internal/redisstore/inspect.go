package redisstore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	inspect        = load("inspect.lua")
	permitsInspect = load("permits_inspect.lua")
	roundInspect   = load("round_inspect.lua")
)

// Inspect is [lease.Inspector]'s.
func (s *Store) Inspect(ctx context.Context, name lease.Name) (lease.Picture, error) {
	var keys, args []any
	var err error
	var topic string
	ask := inspect
	switch name.Kind {
	case lease.WaitGroup:
		ask, keys = roundInspect, []any{name.Key}
		topic, err = s.Topic(name.Key)
		args = []any{topic, name.Key}
	case lease.Mutex:
		keys, err = siblings(name)
	default:
		ask, args = permitsInspect, []any{string(name.Kind)}
		keys, err = siblings(name)
	}
	if err != nil {
		return lease.Picture{}, lease.Permanent(err)
	}
	val, err := s.transport.run(ctx, ask, keys, args)
	if err != nil {
		return lease.Picture{}, classify(s.rdb, err)
	}
	r := reading{val: val}
	var p lease.Picture
	switch name.Kind {
	case lease.WaitGroup:
		p = r.round()
	case lease.Mutex:
		p = r.mutex()
	default:
		p = r.permits()
	}
	if r.wrong {
		return lease.Picture{}, unexpected(val)
	}
	return p, nil
}

// reading takes a reply apart.
type reading struct {
	val   any
	at    int
	wrong bool // something was not what it should be
}

func (r *reading) more() bool {
	tuple, _ := r.val.([]any)
	return r.at < len(tuple)
}

func next[T any](r *reading) (v T) {
	if tuple, _ := r.val.([]any); r.at < len(tuple) {
		var ok bool
		if v, ok = tuple[r.at].(T); ok {
			r.at++
			return v
		}
	}
	r.wrong, r.at = true, r.at+1
	return v
}

func (r *reading) ms() time.Duration { return time.Duration(next[int64](r)) * time.Millisecond }

func (r *reading) owner() (o lease.Owner) {
	if token := next[string](r); token != "" {
		o = lease.ParseOwner(token)
	}
	return o
}

func (r *reading) mutex() (p lease.Picture) {
	h := lease.Holder{Owner: r.owner(), Weight: 1, Left: r.ms()}
	p.Fence = next[int64](r) * lease.Block
	if p.Waiting, p.First = int(next[int64](r)), r.owner(); h.Token != "" {
		h.Fence = p.Fence
		p.Holders = []lease.Holder{h}
	}
	return p
}

func (r *reading) permits() (p lease.Picture) {
	p.Size, p.Used, p.Fence = next[int64](r), next[int64](r), next[int64](r)*lease.Block
	p.Waiting, p.First, p.Wanted, p.More = int(next[int64](r)), r.owner(), next[int64](r), next[int64](r)
	for r.more() {
		p.Holders = append(p.Holders, lease.Holder{
			Owner: r.owner(), Weight: next[int64](r), Left: r.ms(), Fence: next[int64](r) * lease.Block, Shared: next[int64](r) == 1,
		})
	}
	return p
}

func (r *reading) round() (p lease.Picture) {
	p.Round, p.Count, p.Lost, p.More = next[int64](r), next[int64](r), next[int64](r), next[int64](r)
	for r.more() {
		p.Holders = append(p.Holders, lease.Holder{Owner: r.owner(), Weight: 1, Left: r.ms()})
	}
	return p
}
