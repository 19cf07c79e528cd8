// Migrate migrates a database once, although all processes of a fleet try when they start. The
// others wait until the migration is done. The first process fails, so the next one migrates.
//
//	go run ./examples/migrate
//
// The program starts a Redis in memory. REDIS_URL selects another server. The processes are
// goroutines here, each with a Once of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// start is called first by each process. A migration can run twice if its process dies before the
// Once is marked as done. So each step must be safe to repeat, like CREATE TABLE IF NOT EXISTS.
func start(ctx context.Context, rdb redis.UniversalClient, name string, migrate func(ctx context.Context, fence int64) error) error {
	once := mutex.NewOnce(rdb, "migration:42")
	once.Label = name
	ran, err := once.DoContext(ctx, func(ctx context.Context) error {
		return migrate(ctx, mutex.LeaseFromContext(ctx).Fence())
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	last, err := once.Last(ctx)
	if err == nil && !ran {
		fmt.Printf("%s skips the migration, because %s has migrated\n", name, last.By.Label)
	}
	return err
}

// A database has a schema, and rejects a fencing token lower than one it has seen.
type database struct {
	mu     sync.Mutex
	schema []string
	fence  int64
	fail   bool // fail the next migration
}

func (db *database) migrate(ctx context.Context, fence int64) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case fence < db.fence:
		return errors.New("stale fencing token")
	case db.fail:
		db.fail = false
		return errors.New("no space left")
	}
	db.fence, db.schema = fence, append(db.schema, "users")
	return ctx.Err()
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	redis, err := server.Connect(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	db := &database{fail: true}
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() { fmt.Println(start(ctx, redis.Client, fmt.Sprint("process ", i), db.migrate)) })
	}
	wg.Wait()
	fmt.Println(db.schema)
}
