package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

func ExampleElection() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	ctx := context.Background()
	e := mutex.NewElection(rdb, "scheduler")
	e.Value = "10.0.0.7:8080" // published while this candidate leads

	err := e.Lead(ctx, func(ctx context.Context, t *mutex.Term) error {
		leader, err := e.Leader(ctx) // in any process
		fmt.Println(leader.Value, "leads:", leader.Number == t.Number())
		return err // ctx is canceled if the leadership is lost
	})
	fmt.Println(err)
	_, err = e.Leader(ctx)
	fmt.Println("no leader:", errors.Is(err, mutex.ErrNoLeader))
	// Output:
	// 10.0.0.7:8080 leads: true
	// <nil>
	// no leader: true
}

func ExampleElection_CampaignChan() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	e := mutex.NewElection(rdb, "scheduler")
	wait, cancel := context.WithCancel(context.Background())
	defer cancel() // withdraws the candidacy; a late term is resigned

	select {
	case r := <-e.CampaignChan(wait):
		if r.Err != nil {
			fmt.Println(r.Err)
			return
		}
		defer r.Term.Resign()
		status, err := e.Inspect(wait)
		fmt.Println("leading;", status.Waiters, "other candidates", err)
	case <-time.After(time.Minute):
		fmt.Println("following")
	}
	// Output: leading; 0 other candidates <nil>
}

func ExampleElection_Observe() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := mutex.NewElection(rdb, "scheduler")
	e.Value = "10.0.0.7:8080"

	var t *mutex.Term
	for leader := range e.Observe(ctx) {
		fmt.Printf("leader: %q\n", leader.Value)
		switch {
		case t == nil:
			t, _ = e.Campaign(ctx)
		case t.Err() == nil:
			_ = t.Resign()
		default:
			cancel() // ends the loop
		}
	}
	// Output:
	// leader: ""
	// leader: "10.0.0.7:8080"
	// leader: ""
}

func ExampleTerm() {
	rdb, closeAll := exampleClient()
	defer closeAll()

	e := mutex.NewElection(rdb, "scheduler")
	t, err := e.Campaign(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := t.Context(context.Background()) // for all work of the leader
	defer stop()
	fmt.Println(t.Number() > 0, t.Remaining() > 0, t.Err(), ctx.Err())
	select {
	case <-t.Contended():
	default:
		fmt.Println("no other candidate")
	}

	fmt.Println(t.Resign())
	<-t.Done()
	<-ctx.Done()
	fmt.Println(errors.Is(t.Err(), mutex.ErrResigned), context.Cause(ctx))
	// Output:
	// true true <nil> <nil>
	// no other candidate
	// <nil>
	// true baton: resigned
}
