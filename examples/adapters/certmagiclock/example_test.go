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

// A Storage keeps certificates in any storage that processes share, here a folder,
// and locks by baton: of two methods of a name, Go takes the one less deep.
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
	rdb, err := server.Connect(ctx, os.Getenv("REDIS_URL")) // redis.NewClient, in yours
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
