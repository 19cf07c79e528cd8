package main

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

var messageFaults = []fault{
	{name: "drop-messages", rows: "41", bound: bounds.message, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.DropMessages(1 + x.random.IntN(50)) },
		func(p *redistest.Proxy) { p.DropMessages(0) },
		func(f redistest.Faults) int64 { return f.MessagesDropped })},
	{name: "duplicate-messages", rows: "41", bound: bounds.message, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.DuplicateMessages(true) },
		func(p *redistest.Proxy) { p.DuplicateMessages(false) },
		func(f redistest.Faults) int64 { return f.MessagesDuplicated })},
	{name: "delay-messages", rows: "41", bound: bounds.outage, inject: wire(
		func(x *injection, p *redistest.Proxy) { p.DelayMessages(x.between(20*time.Millisecond, x.ttl)) },
		func(p *redistest.Proxy) { p.DelayMessages(0) },
		func(f redistest.Faults) int64 { return f.MessagesDelayed })},
	{name: "drop-subscribers", rows: "40", bound: bounds.reply, inject: func(x *injection) error {
		n := 0
		for _, p := range x.proxies(x.some()) {
			n += p.DropSubscribers()
		}
		if n > 0 {
			x.prove("the proxies closed %d connections", n)
		}
		return nil
	}},
	{name: "kill-pubsub", rows: "40", bound: bounds.reply, inject: killClients("pubsub")},
	{name: "kill-normal", rows: "39", bound: bounds.reply, inject: killClients("normal")},
}

// killClients has the servers close connections.
func killClients(kind string) func(*injection) error {
	return func(x *injection) error {
		var total int64
		err := x.each(func(n *node) error {
			v, err := n.do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
			if err == nil {
				total += v.(int64)
			}
			return err
		})
		if total > 0 {
			x.prove("the servers closed %d connections", total)
		}
		return err
	}
}
