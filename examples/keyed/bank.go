package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// A bank is the store that the locks are for. It computes nothing: who writes a
// balance must have read it under the same lock.
type bank struct {
	mu       sync.Mutex
	accounts map[string]*account
	count    tally
}

type account struct {
	fence   int64 // the highest that it was read or written with
	balance int
	events  []int         // what was, or is to be, deposited
	applied int           // events that are in the balance
	amiss   int           // that were written out of order
	newer   chan struct{} // closed when the fence grows; nil if nobody waits for that
}

// An Entry is an account as a teller reads and writes it.
type Entry struct {
	Customer string
	Fence    int64 // of the hold on the customer's lock
	Balance  int
	Applied  int // events
	Next     int // event, the first that is not applied
}

// A tally is what the bank has done.
type tally struct{ deposits, transfers, statements, torn, refused int }

func newBank(customers int) *bank {
	b := &bank{accounts: map[string]*account{}}
	for n := range customers {
		b.accounts[fmt.Sprint("customer-", n+1)] = new(account)
	}
	return b
}

func (b *bank) customers() []string { return slices.Sorted(maps.Keys(b.accounts)) }

// admit lets nobody in whose fence is below the highest that the account has
// seen: another has had the lock since, and may have read or written meanwhile.
// All of this is one step with the reading or writing that follows.
func (b *bank) admit(entries []Entry) bool {
	for _, e := range entries {
		if e.Fence < b.accounts[e.Customer].fence {
			b.count.refused++
			return false
		}
	}
	for _, e := range entries {
		a := b.accounts[e.Customer]
		if e.Fence > a.fence && a.newer != nil {
			close(a.newer)
			a.newer = nil
		}
		a.fence = e.Fence
	}
	return true
}

// read fills in the entries.
func (b *bank) read(entries []Entry) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.admit(entries) {
		return false
	}
	for i := range entries {
		e, a := &entries[i], b.accounts[entries[i].Customer]
		e.Balance, e.Applied, e.Next = a.balance, a.applied, 0
		if e.Applied < len(a.events) {
			e.Next = a.events[e.Applied]
		}
	}
	return true
}

// write stores all the entries, or none.
func (b *bank) write(entries []Entry) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.admit(entries) {
		return false
	}
	if len(entries) == 1 {
		b.count.deposits++
	} else {
		b.count.transfers++
	}
	for _, e := range entries {
		a := b.accounts[e.Customer]
		if len(entries) == 1 && e.Applied != a.applied+1 || len(entries) > 1 && e.Applied != a.applied {
			a.amiss++
		}
		a.balance, a.applied = e.Balance, e.Applied
	}
	return true
}

// announce adds an event to those of the customer.
func (b *bank) announce(customer string, amount int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[customer]
	a.events = append(a.events, amount)
}

func (b *bank) balance(customer string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[customer].balance
}

func (b *bank) stated(same bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.statements++
	if !same {
		b.count.torn++
	}
}

// overtaken returns what is closed when the account is read or written with a
// newer fence than that of the entry.
func (b *bank) overtaken(e Entry) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[e.Customer]
	newer := a.newer
	if newer == nil {
		newer = make(chan struct{})
	}
	if a.fence > e.Fence {
		close(newer)
	} else {
		a.newer = newer
	}
	return newer
}

// audit returns what has been done, what the balances add up to, and what they
// should.
func (b *bank) audit() (count tally, have, want int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.accounts {
		have += a.balance
		for _, amount := range a.events[:min(a.applied, len(a.events))] {
			want += amount
		}
	}
	return b.count, have, want
}

// summary is shown when all is over. It is an error if money was lost.
func (b *bank) summary(out io.Writer) error {
	count, have, want := b.audit()
	fmt.Fprintf(out, "\n%d deposits, %d transfers, %d statements of which %d were torn\n",
		count.deposits, count.transfers, count.statements, count.torn)
	fmt.Fprintf(out, "%d readings and writings refused, as they came with an old fence\n", count.refused)
	amiss := 0
	for _, name := range b.customers() {
		a := b.accounts[name]
		fmt.Fprintf(out, "%12s  %8d after %d of %d events\n", name, a.balance, a.applied, len(a.events))
		amiss += a.amiss
	}
	fmt.Fprintf(out, "%12s  %8d of %d paid in\n", "all", have, want)
	if have != want || amiss > 0 {
		return fmt.Errorf("the locks and the fences did not hold: %d is there of %d, %d events came out of order", have, want, amiss)
	}
	fmt.Fprintln(out, "no money was lost")
	return nil
}
