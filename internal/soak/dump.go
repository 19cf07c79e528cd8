package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// dump is what the servers have of a key, for somebody who has to find out why nobody
// is let in.
func (tr *testRun) dump(key string) string {
	var b strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, n := range tr.topology.masters() {
		names, err := n.names()
		fmt.Fprintf(&b, "\n    %s has, %.3f ms (%v):", n.Addr(), float64(now())/1e6, err)
		for _, name := range names {
			// A request for several keys of a pool may wait for another of them.
			pool := key[0] == 'p' && (strings.HasPrefix(name, "p") || strings.HasPrefix(name, "baton:{p"))
			if name != key && !strings.HasPrefix(name, "baton:{"+key+"}:") && !pool {
				continue
			}
			var v any
			switch kind := n.admin.Type(ctx, name).Val(); kind {
			case "string":
				v = n.admin.Get(ctx, name).Val()
			case "hash":
				v = n.admin.HGetAll(ctx, name).Val()
			case "zset":
				v = n.admin.ZRangeWithScores(ctx, name, 0, -1).Val()
			default:
				v = kind
			}
			fmt.Fprintf(&b, "\n      %s for %v: %v", name, n.admin.PTTL(ctx, name).Val(), v)
		}
	}
	for _, h := range tr.timeline.list {
		if h.key == key && h.answered == 0 && tr.timeline.died(h) == 0 {
			fmt.Fprintf(&b, "\n    waits: %v", h)
		} else if h.key == key && h.granted() && h.over() == 0 && tr.timeline.died(h) == 0 {
			fmt.Fprintf(&b, "\n    holds: %v", h)
		}
	}
	return b.String()
}
