package main

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A teller reads balances, computes new ones, and writes these: all of it under
// the locks of the customers.
type teller struct {
	accounts *mutex.Pool
	bank     *rpc.Client
}

// deposit applies the next event of a customer. To take it under the lock keeps
// the events in order, whichever of the processes does it.
func (t *teller) deposit(ctx context.Context, customer string) error {
	lease, err := t.accounts.LockContext(ctx, customer)
	if err != nil {
		return err
	}
	defer t.unlock(lease)

	a := []Entry{{Customer: customer, Fence: lease.Fence()}}
	if err := t.read(a); err != nil {
		return err
	}
	a[0].Balance += a[0].Next
	a[0].Applied++
	return t.write(a)
}

// transfer moves money from one customer to another, under the locks of both.
// Nobody has to think about their order: another may go from to to from.
func (t *teller) transfer(ctx context.Context, from, to string, amount int) error {
	lease, err := t.accounts.LockContext(ctx, from, to)
	if err != nil {
		return err
	}
	defer t.unlock(lease)

	// Each account has been told the fences of its own lock only.
	a := []Entry{
		{Customer: from, Fence: lease.FenceOf(from)},
		{Customer: to, Fence: lease.FenceOf(to)},
	}
	if err := t.read(a); err != nil {
		return err
	}
	a[0].Balance -= amount
	a[1].Balance += amount
	return t.write(a)
}

// statement only reads, but twice, and nobody is to write in between. There is
// nothing to be refused, so it needs no fence, and Lock is enough.
func (t *teller) statement(customer string) (same bool, err error) {
	t.accounts.Lock(customer)
	defer t.accounts.Unlock(customer)

	var first, second int
	if err := t.bank.Call("Desk.Balance", customer, &first); err != nil {
		return false, err
	}
	err = t.bank.Call("Desk.Balance", customer, &second)
	return first == second, err
}

// unlock ends a hold. If it was lost before, that is no news: what was done under
// it counts if the bank has accepted it, and only the bank can tell.
func (t *teller) unlock(lease *mutex.Lease) { _ = lease.Unlock() }

// errRefused says that another has had the lock since. All is to be done again,
// beginning with the lock.
var errRefused = errors.New("the bank refused an old fence")

// read fills in the entries. The fence goes with the reading too: from then on the
// bank refuses the writing of who had the lock before.
func (t *teller) read(a []Entry) error {
	var r Reply
	err := t.bank.Call("Desk.Read", a, &r)
	if err == nil && r.Refused {
		err = errRefused
	}
	copy(a, r.Entries)
	return err
}

func (t *teller) write(a []Entry) error {
	var r Reply
	err := t.bank.Call("Desk.Write", a, &r)
	if err == nil && r.Refused {
		err = errRefused
	}
	return err
}

// serve does what the bank asks for, until it asks for no more.
func (t *teller) serve(ctx context.Context) error {
	for {
		var o Order
		if err := t.bank.Call("Desk.Next", 0, &o); err != nil || o.Kind == over {
			return err
		}
		err := t.fulfil(ctx, o)
		for errors.Is(err, errRefused) || errors.Is(err, mutex.ErrLost) {
			err = t.fulfil(ctx, o)
		}
		if err != nil {
			return err
		}
	}
}

func (t *teller) fulfil(ctx context.Context, o Order) error {
	switch o.Kind {
	case deposit:
		return t.deposit(ctx, o.Customer)
	case transfer:
		return t.transfer(ctx, o.Customer, o.To, o.Amount)
	case statement:
		same, err := t.statement(o.Customer)
		if err != nil {
			return err
		}
		return t.bank.Call("Desk.Stated", same, nil)
	default:
		return fmt.Errorf("there is no order %q", o.Kind)
	}
}
