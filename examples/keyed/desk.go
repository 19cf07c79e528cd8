package main

import "os/exec"

// A Desk is where one worker speaks with the bank.
type Desk struct {
	worker  int // counted from 1
	process *exec.Cmd
	office  *office
}

// An Order is what a worker is asked to do.
type Order struct {
	Kind     kind
	Customer string
	To       string // of a transfer
	Amount   int    // likewise
}

type kind string

const (
	deposit   kind = "deposit" // the customer's next event
	transfer  kind = "transfer"
	statement kind = "statement"
	over      kind = "over" // there is nothing to do any more
)

// A Reply is the bank's, to who reads or writes.
type Reply struct {
	Refused bool
	Entries []Entry
}

// Next asks for an order.
func (d *Desk) Next(_ int, o *Order) error {
	*o = d.office.next()
	return nil
}

// Read asks for accounts.
func (d *Desk) Read(entries []Entry, r *Reply) error {
	r.Refused, r.Entries = !d.office.bank.read(entries), entries
	if !r.Refused {
		d.office.stop(d.worker, d.process.Process, entries[0])
	}
	return nil
}

// Write changes accounts.
func (d *Desk) Write(entries []Entry, r *Reply) error {
	r.Refused = !d.office.bank.write(entries)
	return nil
}

// Balance is for statements.
func (d *Desk) Balance(customer string, balance *int) error {
	*balance = d.office.bank.balance(customer)
	return nil
}

// Stated tells whether two balances were the same.
func (d *Desk) Stated(same bool, _ *struct{}) error {
	d.office.bank.stated(same)
	return nil
}
