package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

// TestMigrateOnce: one process fails, one migrates, and the others continue only after the migration.
func TestMigrateOnce(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		db := &database{fail: true}
		var failed atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				err := start(t.Context(), rdb, fmt.Sprint("process ", i), db.migrate)
				db.mu.Lock()
				defer db.mu.Unlock()
				switch {
				case err != nil && strings.Contains(err.Error(), "no space left"):
					failed.Add(1)
				case err != nil || len(db.schema) != 1:
					t.Errorf("process %d continues with schema %v, error %v", i, db.schema, err)
				}
			})
		}
		wg.Wait()
		if failed.Load() != 1 || len(db.schema) != 1 {
			t.Errorf("%d failures, schema %v", failed.Load(), db.schema)
		}
		if err := db.migrate(t.Context(), db.fence-1); err == nil {
			t.Error("the database accepts a stale token")
		}
	})
}
