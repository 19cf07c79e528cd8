package redisstore

import (
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// managers maps a client to its manager, so that all primitives of a client share one
// subscription and one renewer. Both pointers are weak, because either may lead to the other:
// a hook or a wrapper of the client may refer to a primitive. An entry is deleted when the last
// primitive of its client is unreachable.
var (
	managersMu sync.Mutex
	managers   = map[weak.Pointer[byte]]weak.Pointer[lease.Manager]{}
)

// ManagerFor returns the one manager of the client.
func ManagerFor(rdb redis.UniversalClient) (*lease.Manager, error) {
	rdb, err := resolve(rdb)
	if err != nil {
		return nil, err
	}
	id, ok := identity(rdb)
	if !ok { // it cannot be a map key: each primitive gets a manager of its own
		return lease.NewManager(NewStore(rdb)), nil
	}
	managersMu.Lock()
	defer managersMu.Unlock()
	if m := managers[id].Value(); m != nil {
		return m, nil
	}
	m := lease.NewManager(NewStore(rdb))
	p := weak.Make(m)
	managers[id] = p
	runtime.AddCleanup(m, func(id weak.Pointer[byte]) {
		managersMu.Lock()
		defer managersMu.Unlock()
		if managers[id] == p { // and not a newer manager
			delete(managers, id)
		}
	}, id)
	return m, nil
}

// identity returns the map key of a client, if the client is a pointer.
func identity(rdb redis.UniversalClient) (id weak.Pointer[byte], ok bool) {
	v := reflect.ValueOf(rdb)
	if v.Kind() != reflect.Pointer {
		return id, false
	}
	return weak.Make((*byte)(v.UnsafePointer())), true
}
