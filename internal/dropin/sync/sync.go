// Package sync has the types of sync that package mutex and package waitgroup replace.
// Their zero values are ready to use: the first call creates a key.
package sync

import (
	"sync"

	"github.com/seed-3d5fec5c/baton/internal/dropin"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

type Locker = sync.Locker

type Mutex struct {
	once sync.Once
	m    *mutex.Mutex
}

func (m *Mutex) get() *mutex.Mutex {
	m.once.Do(func() { m.m = mutex.New(dropin.Client(), dropin.NewKey()) })
	return m.m
}

func (m *Mutex) Lock()         { m.get().Lock() }
func (m *Mutex) TryLock() bool { return m.get().TryLock() }
func (m *Mutex) Unlock()       { m.get().Unlock() }

type RWMutex struct {
	once sync.Once
	m    *mutex.RWMutex
}

func (m *RWMutex) get() *mutex.RWMutex {
	m.once.Do(func() { m.m = mutex.NewRW(dropin.Client(), dropin.NewKey()) })
	return m.m
}

func (m *RWMutex) Lock()           { m.get().Lock() }
func (m *RWMutex) TryLock() bool   { return m.get().TryLock() }
func (m *RWMutex) Unlock()         { m.get().Unlock() }
func (m *RWMutex) RLock()          { m.get().RLock() }
func (m *RWMutex) TryRLock() bool  { return m.get().TryRLock() }
func (m *RWMutex) RUnlock()        { m.get().RUnlock() }
func (m *RWMutex) RLocker() Locker { return m.get().RLocker() }

type WaitGroup struct {
	once sync.Once
	wg   *waitgroup.WaitGroup
}

func (wg *WaitGroup) get() *waitgroup.WaitGroup {
	wg.once.Do(func() { wg.wg = waitgroup.New(dropin.Client(), dropin.NewKey()) })
	return wg.wg
}

func (wg *WaitGroup) Add(delta int) { wg.get().Add(delta) }
func (wg *WaitGroup) Done()         { wg.get().Done() }
func (wg *WaitGroup) Go(f func())   { wg.get().Go(f) }
func (wg *WaitGroup) Wait()         { wg.get().Wait() }

type Once struct {
	once sync.Once
	o    *mutex.Once
}

func (o *Once) Do(f func()) {
	o.once.Do(func() { o.o = mutex.NewOnce(dropin.Client(), dropin.NewKey()) })
	o.o.Do(f)
}

// TestSemaphore uses these functions of the runtime. It is skipped.

func Runtime_Semacquire(*uint32)            { panic("not replaced") }
func Runtime_Semrelease(*uint32, bool, int) { panic("not replaced") }
