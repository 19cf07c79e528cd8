package redisstore

import (
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// keepers finds the keeper of a client again, so that every primitive made for
// the client shares its subscription and its clock. It does not keep either
// alive: an entry goes when the last primitive of its client has gone.
var (
	keepersMu sync.Mutex
	keepers   = map[redis.UniversalClient]weak.Pointer[lease.Keeper]{}
)

// Keeper returns the one keeper of the client.
func Keeper(rdb redis.UniversalClient) (*lease.Keeper, error) {
	if v := reflect.ValueOf(rdb); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errNilClient
	} else if !v.Comparable() { // cannot be found again: it gets a keeper for each primitive
		return lease.NewKeeper(NewStore(rdb)), nil
	}
	keepersMu.Lock()
	defer keepersMu.Unlock()
	if k := keepers[rdb].Value(); k != nil {
		return k, nil
	}
	k := lease.NewKeeper(NewStore(rdb))
	p := weak.Make(k)
	keepers[rdb] = p
	runtime.AddCleanup(k, func(rdb redis.UniversalClient) {
		keepersMu.Lock()
		defer keepersMu.Unlock()
		if keepers[rdb] == p { // not one that has taken its place since
			delete(keepers, rdb)
		}
	}, rdb)
	return k, nil
}
