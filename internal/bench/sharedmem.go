//go:build unix

package main

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// sharedMem is memory that processes share outside Redis: what it says of who is
// inside does not depend on what the lock believes.
type sharedMem struct {
	inside  atomic.Int32
	readers atomic.Int32
	clashes atomic.Int64
	total   int64 // guarded by the lock under test, and by nothing else, where one may be inside
}

func openSharedMem(path string) (a *sharedMem, unmap func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size := int(unsafe.Sizeof(sharedMem{}))
	if err := f.Truncate(int64(size)); err != nil {
		return nil, nil, err
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return (*sharedMem)(unsafe.Pointer(&mem[0])), func() { _ = syscall.Munmap(mem) }, nil
}

// enter and leave are the ends of a critical section in which as many as limit
// may be at once.
func (a *sharedMem) enter(limit int) {
	if a.inside.Add(1) > int32(limit) || a.readers.Load() != 0 {
		a.clashes.Add(1)
	}
	if limit == 1 {
		a.total++
	}
}

func (a *sharedMem) leave() { a.inside.Add(-1) }

// read and done are the ends of a section that excludes only those of enter.
func (a *sharedMem) read() {
	a.readers.Add(1)
	if a.inside.Load() != 0 {
		a.clashes.Add(1)
	}
}

func (a *sharedMem) done() { a.readers.Add(-1) }
