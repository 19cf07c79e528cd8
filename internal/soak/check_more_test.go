package main

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRecoveryBites(t *testing.T) {
	const bound = 100 * time.Millisecond
	longest := func(string) time.Duration { return 20 * time.Millisecond }
	unanswered := &span{key: "m0", asked: 15 * ms}
	s := forge(hold("m0", 1, 10, 12, 1), hold("m0", 1, 30, 35, 2), hold("m0", 1, 40, 45, 2), unanswered)
	got := recovery(s, []string{"m0", "m1"}, 20*ms, 500*ms, bound, longest)
	if got[0].took != 10*time.Millisecond || got[0].bound != 120*time.Millisecond {
		t.Errorf("m0 took %v", got[0])
	}
	if got[1].took != 480*time.Millisecond {
		t.Errorf("m1, which was not granted, took %v", got[1])
	}
	if list := stranded(s, 20*ms); len(list) != 1 || list[0] != unanswered {
		t.Errorf("stranded are %v", list)
	}
	if list := stranded(s, 14*ms); len(list) != 0 {
		t.Errorf("stranded are %v, though it asked after the fault", list)
	}
	if list := stranded(s.kill(16), 20*ms); len(list) != 0 {
		t.Errorf("stranded are %v, though it is dead", list)
	}
}

func TestRegisterBites(t *testing.T) {
	access := func(r *Register, write bool, fence, plain, fenced int64) (v Values) {
		a := Access{Key: "m0", Fence: fence, Plain: plain, Fenced: fenced}
		if write {
			_ = r.Write(a, &v)
		} else {
			_ = r.Read(a, &v)
		}
		return v
	}
	// The first is overtaken by the second between its read and its write.
	for second, want := range map[int64]string{2: "", 1: "S2"} {
		r := &Register{cells: map[string]*cell{}}
		a := access(r, false, 1, 0, 0)
		b := access(r, false, second, 0, 0)
		access(r, true, second, b.Plain+1, b.Fenced+1)
		access(r, true, 1, a.Plain+1, a.Fenced+1)
		wants(t, fmt.Sprintf("the second has fence %d", second), want, r.wrong())
		if writes, updates := r.late(); second == 2 && (writes != 1 || updates != 1) {
			t.Errorf("%d writes were late, %d updates lost", writes, updates)
		}
	}
}

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
	queue := script("ZADD baton:{m0}:queue 1 x", "ZADD baton:{m0}:queue 2 "+b)
	handOver := "SET m0 " + b + " PXAT 9999"
	s := forge(hold("m0", 1, 10, 20, 5)) // released at 21 ms
	late := func(worker uint8) *story {
		return forge(hold("m0", 1, 10, 20, 5), &span{worker: worker, key: "m0", asked: 15 * ms, answered: 300 * ms, result: ended})
	}
	for name, c := range map[string]struct {
		s    *story
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

// TestJournal: what a pen has written is read as it was, in whatever pieces it comes.
func TestJournal(t *testing.T) {
	want := event{What: answered, Result: abandoned, Key: 3, Worker: 2, N: -5, Hold: 1 << 50, T: 1 << 60, Fence: 1<<62 + 1}
	if got := newEvent(want.append(nil)); got != want {
		t.Errorf("%+v was read as %+v", want, got)
	}
}
