// Package semaphore has the constructor of golang.org/x/sync/semaphore. It creates a key.
package semaphore

import (
	"github.com/seed-3d5fec5c/baton/internal/dropin"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

type Weighted = semaphore.Weighted

func NewWeighted(n int64) *Weighted {
	return semaphore.NewWeighted(dropin.Client(), dropin.NewKey(), n)
}
