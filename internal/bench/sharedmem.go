//go:build unix

package main

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// sharedMem is memory that processes share outside Redis. It counts the workers inside independently
// of the lock.
type sharedMem struct {
	inside  atomic.Int32
	readers atomic.Int32
	clashes atomic.Int64
	total   int64 // if the limit is 1, guarded only by the lock under test
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

// enter and leave enclose a critical section with at most limit workers.
func (a *sharedMem) enter(limit int) {
	if a.inside.Add(1) > int32(limit) || a.readers.Load() != 0 {
		a.clashes.Add(1)
	}
	if limit == 1 {
		a.total++
	}
}

func (a *sharedMem) leave() { a.inside.Add(-1) }

// read and done enclose a section that excludes only the sections of enter.
func (a *sharedMem) read() {
	a.readers.Add(1)
	if a.inside.Load() != 0 {
		a.clashes.Add(1)
	}
}

func (a *sharedMem) done() { a.readers.Add(-1) }
