package main

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func open(names ...string) *bank {
	b := &bank{balance: map[string]int{}, fence: map[string]int64{}}
	for _, name := range names {
		b.balance[name] = 100
	}
	return b
}

// TestTransfersInBothDirections: transfers in both directions neither deadlock nor lose money.
func TestTransfersInBothDirections(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		b := open("alice", "bob")
		var wg sync.WaitGroup
		for range 2 { // pools, like two processes
			accounts := mutex.NewPool(rdb, "account:")
			for _, names := range [][2]string{{"alice", "bob"}, {"bob", "alice"}} {
				for range 20 {
					wg.Go(func() {
						if err := transfer(t.Context(), accounts, b, names[0], names[1], 1); err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
		wg.Wait()
		if b.balance["alice"] != 100 || b.balance["bob"] != 100 {
			t.Error(b.balance)
		}
	})
}

// TestBankRejectsAStaleToken: the bank rejects all entries of a write with one stale token.
func TestBankRejectsAStaleToken(t *testing.T) {
	b := open("alice", "bob")
	if err := b.write(entry{"alice", 1, 8}); err != nil {
		t.Error(err)
	}
	if err := b.write(entry{"bob", 5, 7}, entry{"alice", -5, 7}); err == nil || b.balance["bob"] != 100 || b.balance["alice"] != 101 {
		t.Error(err, b.balance)
	}
}
