package main

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

var networkFaults = []fault{
	{name: "delay", rows: "30, 37", bound: bounds.reply, inject: wire(
		func(x *injection, p *redistest.Proxy) {
			p.SetDelay(x.between(5*time.Millisecond, 150*time.Millisecond))
		},
		func(p *redistest.Proxy) { p.SetDelay(0) },
		func(f redistest.Faults) int64 { return f.Delayed })},
	{name: "black-hole", rows: "35", bound: bounds.outage, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.Blackhole(true) },
		func(p *redistest.Proxy) { p.Blackhole(false) },
		func(f redistest.Faults) int64 { return f.Held })},
	{name: "cut-off-holder", rows: "35", bound: bounds.outage, inject: cutOffHolder},
	{name: "black-hole-requests", rows: "34, 36", bound: bounds.outage, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.BlackholeRequests(true) },
		func(p *redistest.Proxy) { p.BlackholeRequests(false) },
		func(f redistest.Faults) int64 { return f.Held })},
	{name: "black-hole-replies", rows: "32, 34", bound: bounds.outage, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.BlackholeReplies(true) },
		func(p *redistest.Proxy) { p.BlackholeReplies(false) },
		func(f redistest.Faults) int64 { return f.Held })},
	{name: "refuse", rows: "44", bound: bounds.outage, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.Refuse(true) },
		func(p *redistest.Proxy) { p.Refuse(false) },
		func(f redistest.Faults) int64 { return f.Refused })},
	{name: "slice", rows: "38", bound: bounds.reply, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.Slice(true) },
		func(p *redistest.Proxy) { p.Slice(false) },
		func(f redistest.Faults) int64 { return f.Sliced })},
	{name: "cut-request", rows: "31", bound: bounds.reply, inject: once((*redistest.Proxy).CutNextRequest,
		func(f redistest.Faults) int64 { return f.RequestsCut })},
	{name: "cut-reply", rows: "32, 33", bound: bounds.reply, inject: once((*redistest.Proxy).CutNextReply,
		func(f redistest.Faults) int64 { return f.RepliesCut })},
	{name: "lose-reply", rows: "32", bound: bounds.reply, inject: once((*redistest.Proxy).LoseNextReply,
		func(f redistest.Faults) int64 { return f.RepliesLost })},
}

// wire turns a fault of some workers' connections on, and after up to two TTLs off.
func wire(on func(*injection, *redistest.Proxy), off func(*redistest.Proxy), count func(redistest.Faults) int64) func(*injection) error {
	return func(x *injection) error {
		victims := x.some()
		if _, _, err := x.busy(victims[0]); err != nil {
			return err
		}
		proxies := x.proxies(victims)
		before := fired(proxies, count)
		for _, p := range proxies {
			on(x, p)
		}
		x.sleep(x.ttl/4, min(2*x.ttl, longest))
		for _, p := range proxies {
			off(p)
		}
		if n := fired(proxies, count) - before; n > 0 {
			x.prove("the proxies counted %d", n)
		}
		return nil
	}
}

// longest is a fault of peers that does not outlast their TTL, which is longer than ours.
const longest = 4 * time.Second

// once spoils a few exchanges with the server, of any of the system's commands.
func once(arm func(p *redistest.Proxy, match string), count func(redistest.Faults) int64) func(*injection) error {
	return func(x *injection) error {
		victims := x.some()
		if x.system != "baton" { // one of theirs may be starved, and send nothing
			victims = x.fleet.members
		}
		proxies := x.proxies(victims)
		before, armed := fired(proxies, count), int64(0)
		for _, p := range proxies {
			for range 1 + x.random.IntN(4) {
				arm(p, x.spoils())
				armed++
			}
		}
		eventually(3*time.Second, func() bool { return fired(proxies, count)-before >= armed })
		if n := fired(proxies, count) - before; n > 0 {
			x.prove("the proxies counted %d of %d", n, armed)
		}
		return nil
	}
}

// cutOffHolder black-holes one worker, while it holds something, for longer than a TTL.
func cutOffHolder(x *injection) error {
	h, err := x.lasting()
	if h == nil {
		return err
	}
	proxies := x.proxies(x.fleet.members[h.worker : h.worker+1])
	count := func(f redistest.Faults) int64 { return f.Held }
	before := fired(proxies, count)
	for _, p := range proxies {
		p.Blackhole(true)
	}
	x.sleep(x.ttl*15/10, x.ttl*22/10)
	for _, p := range proxies {
		p.Blackhole(false)
	}
	if n := fired(proxies, count) - before; n > 0 {
		x.prove("the proxies counted %d, and worker %d held %s", n, h.worker, h.key)
	}
	return nil
}
