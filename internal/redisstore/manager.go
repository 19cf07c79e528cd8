package redisstore

import (
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// managers finds the manager of a client again, so that every primitive made for
// the client shares its subscription and its clock. It keeps neither alive, for either may
// lead to the other: a hook of the client may hold a primitive, as may whatever embeds it.
// An entry goes when the last primitive of its client has gone.
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
	if !ok { // it cannot be found again, and gets a manager for each primitive
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
		if managers[id] == p { // not one that has taken its place since
			delete(managers, id)
		}
	}, id)
	return m, nil
}

// identity is what a client is known by, if it is a pointer.
func identity(rdb redis.UniversalClient) (id weak.Pointer[byte], ok bool) {
	v := reflect.ValueOf(rdb)
	if v.Kind() != reflect.Pointer {
		return id, false
	}
	return weak.Make((*byte)(v.UnsafePointer())), true
}
