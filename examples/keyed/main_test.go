package main

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func newBank() *bank {
	return &bank{balance: map[string]int{"alice": 100, "bob": 100}, fence: map[string]int64{}}
}

// TestTransfersInBothDirections: transfers in both directions neither deadlock nor lose money.
func TestTransfersInBothDirections(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		b := newBank()
		var wg sync.WaitGroup
		for range 2 { // pools, like two processes
			accounts := mutex.NewPool(rdb, "account:")
			for i := range 40 {
				from, to := []string{"alice", "bob"}[i%2], []string{"bob", "alice"}[i%2]
				wg.Go(func() {
					if err := transfer(t.Context(), accounts, b, from, to, 1); err != nil {
						t.Error(err)
					}
				})
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
	b := newBank()
	if err := b.write(entry{"alice", 1, 8}); err != nil {
		t.Error(err)
	}
	err := b.write(entry{"bob", 5, 7}, entry{"alice", -5, 7})
	if err == nil || b.balance["bob"] != 100 || b.balance["alice"] != 101 {
		t.Error(err, b.balance)
	}
}
