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
// the client shares its subscription and its clock. It keeps neither alive, for either may
// lead to the other: a hook of the client may hold a primitive, as may whatever embeds it.
// An entry goes when the last primitive of its client has gone.
var (
	keepersMu sync.Mutex
	keepers   = map[weak.Pointer[byte]]weak.Pointer[lease.Keeper]{}
)

// Keeper returns the one keeper of the client.
func Keeper(rdb redis.UniversalClient) (*lease.Keeper, error) {
	rdb, err := resolve(rdb)
	if err != nil {
		return nil, err
	}
	id, ok := identity(rdb)
	if !ok { // it cannot be found again, and gets a keeper for each primitive
		return lease.NewKeeper(NewStore(rdb)), nil
	}
	keepersMu.Lock()
	defer keepersMu.Unlock()
	if k := keepers[id].Value(); k != nil {
		return k, nil
	}
	k := lease.NewKeeper(NewStore(rdb))
	p := weak.Make(k)
	keepers[id] = p
	runtime.AddCleanup(k, func(id weak.Pointer[byte]) {
		keepersMu.Lock()
		defer keepersMu.Unlock()
		if keepers[id] == p { // not one that has taken its place since
			delete(keepers, id)
		}
	}, id)
	return k, nil
}

// identity is what a client is known by, if it is a pointer.
func identity(rdb redis.UniversalClient) (id weak.Pointer[byte], ok bool) {
	v := reflect.ValueOf(rdb)
	if v.Kind() != reflect.Pointer {
		return id, false
	}
	return weak.Make((*byte)(v.UnsafePointer())), true
}
