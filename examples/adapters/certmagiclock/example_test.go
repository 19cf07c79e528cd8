package certmagiclock_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/caddyserver/certmagic"

	"github.com/seed-3d5fec5c/baton/examples/adapters/certmagiclock"
	"github.com/seed-3d5fec5c/baton/examples/internal/server"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A Storage keeps certificates in a shared storage, here a folder, and uses baton's locks. The methods
// of Locker hide those of the storage, because files is embedded one level deeper.
type Storage struct {
	*certmagiclock.Locker
	files
}

type files struct{ certmagic.Storage }

var (
	_ certmagic.Storage   = Storage{}
	_ certmagic.TryLocker = Storage{}
)

func Example() {
	ctx := context.Background()
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // your program calls redis.NewClient
	if err != nil {
		log.Fatal(err)
	}
	defer rdb.Close()
	dir, err := os.MkdirTemp("", "certificates")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	locker := certmagiclock.New(mutex.NewPool(rdb.Client, "certmagic:"))
	storage := Storage{locker, files{&certmagic.FileStorage{Path: dir}}} // certmagic.Default.Storage = storage

	fmt.Println(storage.Lock(ctx, "issue_cert_example.com"))
	fmt.Println(storage.TryLock(ctx, "issue_cert_example.com"))
	fmt.Println(storage.Unlock(ctx, "issue_cert_example.com"))
	// Output:
	// <nil>
	// false <nil>
	// <nil>
}
