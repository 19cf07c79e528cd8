//go:build unix

package main

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// arena is memory that processes share outside Redis: what it says of who is
// inside does not depend on what the lock believes.
type arena struct {
	inside  atomic.Int32
	clashes atomic.Int64
	total   int64 // guarded by the lock under test, and by nothing else
}

func openArena(path string) (a *arena, unmap func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size := int(unsafe.Sizeof(arena{}))
	if err := f.Truncate(int64(size)); err != nil {
		return nil, nil, err
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return (*arena)(unsafe.Pointer(&mem[0])), func() { _ = syscall.Munmap(mem) }, nil
}

// enter and leave are the ends of the critical section.
func (a *arena) enter() {
	if a.inside.Add(1) != 1 {
		a.clashes.Add(1)
	}
	a.total++
}

func (a *arena) leave() { a.inside.Add(-1) }
