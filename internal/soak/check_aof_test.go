package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// script returns a transaction in the format of an append-only file.
func script(commands ...string) string {
	b := ""
	for _, c := range append(append([]string{"MULTI"}, commands...), "EXEC") {
		words := strings.Fields(c)
		b += fmt.Sprintf("*%d\r\n", len(words))
		for _, w := range words {
			b += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
	}
	return b
}

func TestAOFCheckerDetectsViolations(t *testing.T) {
	grant := script("SET baton:{m0}:fence 5 PXAT 9999", "SET m0 a PXAT 9999")
	queue := script("ZADD baton:{m0}:queue 1 x", "ZADD baton:{m0}:queue NX 2 b")
	const handOver = "SET m0 b PXAT 9999"
	for name, c := range map[string]struct {
		file, want string
		waits      uint8 // the worker of another request
	}{
		"handed to the first":       {grant + queue + script("DEL m0", "ZREM baton:{m0}:queue x b", handOver), "", 1},
		"the first is skipped":      {grant + queue + script("DEL m0", "ZREM baton:{m0}:queue b", handOver), "FIFO", 1},
		"granted past the queue":    {queue + grant, "FIFO", 1},
		"the queue has expired":     {queue + script("DEL baton:{m0}:queue") + grant, "", 1},
		"renewed while held":        {grant + script("PEXPIREAT m0 1015"), "", 1},
		"renewed after the release": {grant + script("PEXPIREAT m0 1200"), "S3", 1},
		"renewed and yielded":       {grant + script("PEXPIREAT m0 1200", handOver), "", 1},
		"the next claim is renewed": {grant + script("SET baton:{m0}:fence 6 PXAT 9999", handOver) + script("PEXPIREAT m0 1200"), "", 1},
		"the process has a waiter":  {grant + script("PEXPIREAT m0 1200"), "", 0},
	} {
		s := newTimeline(hold("m0", 1, 10, 20, 5), &interval{worker: c.waits, key: "m0", requested: 15 * ms, replied: 300 * ms, result: ctxDone})
		l := &aofChecker{ttl: time.Second, ends: lastReleases(s), locks: map[string]*lock{}}
		check(transactions(strings.NewReader("#TS:1\r\n"+c.file), l.apply))
		expectRules(t, name, c.want, l.list)
	}
}
