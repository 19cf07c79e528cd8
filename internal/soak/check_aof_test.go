package main

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
)

// script is a transaction as an append-only file has it.
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

func TestLedgerBites(t *testing.T) {
	const a, b = "baton:1000:host:1:p:1", "baton:1000:host:1:p:2"
	grant := script("SET baton:{m0}:fence 5 PXAT 9999", "SET m0 "+a+" PXAT 9999")
	queue := script("ZADD baton:{m0}:queue 1 x", "ZADD baton:{m0}:queue NX 2 "+b)
	handOver := "SET m0 " + b + " PXAT 9999"
	s := forge(hold("m0", 1, 10, 20, 5)) // released at 21 ms
	late := func(worker uint8) *timeline {
		return forge(hold("m0", 1, 10, 20, 5), &interval{worker: worker, key: "m0", asked: 15 * ms, answered: 300 * ms, result: ended})
	}
	for name, c := range map[string]struct {
		s    *timeline
		file string
		want string
	}{
		"renewed while held":        {s, grant + script("PEXPIREAT m0 1015"), ""},
		"renewed after its end":     {s, grant + script("PEXPIREAT m0 1200"), "S3"},
		"renewed and yielded":       {s, grant + script("PEXPIREAT m0 1200", handOver), ""},
		"another's was renewed":     {s, grant + script("SET baton:{m0}:fence 6 PXAT 9999", handOver) + script("PEXPIREAT m0 1200"), ""},
		"handed to the first":       {s, grant + queue + script("DEL m0", "ZREM baton:{m0}:queue x", "ZREM baton:{m0}:queue "+b, handOver), ""},
		"the first is passed over":  {s, grant + queue + script("DEL m0", "ZREM baton:{m0}:queue "+b, handOver), "FIFO"},
		"a stranger comes first":    {s, queue + grant, "FIFO"},
		"the queue has expired":     {s, queue + script("DEL baton:{m0}:queue") + grant, ""},
		"another here waits for it": {late(0), grant + script("PEXPIREAT m0 1200"), ""},
		"another elsewhere does":    {late(1), grant + script("PEXPIREAT m0 1200"), "S3"},
	} {
		l := newLedger(c.s, 0)
		if err := transactions(bufio.NewReader(strings.NewReader("#TS:1\r\n"+c.file)), l.apply); err != nil {
			t.Fatal(err)
		}
		wants(t, name, c.want, l.list)
	}
}
