package redisstore

import (
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// stores maps a client to its store, so that all primitives of a client share one pipeliner,
// one subscription and one renewer. Both pointers are weak, because either may lead to the other:
// a hook or a wrapper of the client may refer to a primitive. An entry is deleted when the last
// primitive of its client is unreachable. A store and its managers refer to each other, so
// they become unreachable together.
var (
	storesMu sync.Mutex
	stores   = map[weak.Pointer[byte]]weak.Pointer[Store]{}
)

// Manager returns the manager of the store's leases.
func (s *Store) Manager() *lease.Manager { return s.manager }

// Groups returns the manager of the store's wait groups.
func (s *Store) Groups() *taskgroup.Manager { return s.groups }

// ManagerFor returns the manager of the client's store.
func ManagerFor(rdb redis.UniversalClient) (*lease.Manager, error) {
	s, err := StoreFor(rdb)
	if err != nil {
		return nil, err
	}
	return s.manager, nil
}

// StoreFor returns the one store of the client.
func StoreFor(rdb redis.UniversalClient) (*Store, error) {
	rdb, err := resolve(rdb)
	if err != nil {
		return nil, err
	}
	id, ok := identity(rdb)
	if !ok { // it cannot be a map key: each primitive gets a store of its own
		return NewStore(rdb), nil
	}
	storesMu.Lock()
	defer storesMu.Unlock()
	if s := stores[id].Value(); s != nil {
		return s, nil
	}
	s := NewStore(rdb)
	p := weak.Make(s)
	stores[id] = p
	runtime.AddCleanup(s, func(id weak.Pointer[byte]) {
		storesMu.Lock()
		defer storesMu.Unlock()
		if stores[id] == p { // and not a newer store
			delete(stores, id)
		}
	}, id)
	return s, nil
}

// identity returns the map key of a client, if the client is a pointer.
func identity(rdb redis.UniversalClient) (id weak.Pointer[byte], ok bool) {
	v := reflect.ValueOf(rdb)
	if v.Kind() != reflect.Pointer {
		return id, false
	}
	return weak.Make((*byte)(v.UnsafePointer())), true
}
