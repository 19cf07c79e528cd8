// Keyed moves money between accounts, each with a lock of its own. A transfer locks two
// accounts, and sends the fencing token of each with the write.
//
//	go run ./examples/keyed
//
// The program starts a Redis in memory. REDIS_URL selects another server. The bank, also in
// memory, represents a database that compares the tokens.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// transfer moves amount between two accounts. Pool always locks them in the same order, so two
// transfers cannot deadlock.
func transfer(ctx context.Context, accounts *mutex.Pool, b *bank, from, to string, amount int) error {
	lease, err := accounts.LockContext(ctx, from, to)
	if err != nil {
		return err
	}
	err = b.write(entry{from, -amount, lease.FenceOf(from)}, entry{to, amount, lease.FenceOf(to)})
	return errors.Join(err, lease.Unlock()) // after ErrLost, the bank has decided whether the write counts
}

type entry struct {
	account string
	amount  int
	fence   int64
}

// A bank rejects the writes of former holders, whose tokens are stale.
type bank struct {
	balance map[string]int
	fence   map[string]int64 // the highest token seen, by account
	mu      sync.Mutex
}

// write applies all entries or none.
func (b *bank) write(entries ...entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		if e.fence < b.fence[e.account] {
			return fmt.Errorf("account %s: stale fencing token %d", e.account, e.fence)
		}
	}
	for _, e := range entries {
		b.fence[e.account] = e.fence
		b.balance[e.account] += e.amount
	}
	return nil
}

func main() {
	ctx := context.Background()
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	accounts := mutex.NewPool(redis.Client, "account:")
	b := &bank{balance: map[string]int{"alice": 100, "bob": 100}, fence: map[string]int64{}}
	var wg sync.WaitGroup
	for i := range 10 {
		from, to, amount := []string{"alice", "bob"}[i%2], []string{"bob", "alice"}[i%2], rand.N(20)
		wg.Go(func() { fmt.Println(amount, "from", from, "to", to, transfer(ctx, accounts, b, from, to, amount)) })
	}
	wg.Wait()
	fmt.Println(b.balance)
}
