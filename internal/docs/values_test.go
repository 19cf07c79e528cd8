package docs

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/trace"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestValues compares the public constants with those of the internal packages. The public ones
// are plain values, so that go doc shows them.
func TestValues(t *testing.T) {
	for internal, public := range map[any][]any{
		trace.Immediate:         {mutex.Immediate, semaphore.Immediate},
		trace.Local:             {mutex.Local, semaphore.Local},
		trace.Lingered:          {mutex.Lingered, semaphore.Lingered},
		trace.Notified:          {mutex.Notified, semaphore.Notified},
		trace.Polled:            {mutex.Polled, semaphore.Polled},
		trace.Reserved:          {semaphore.Reserved},
		trace.KeyMissing:        {mutex.KeyMissing, semaphore.KeyMissing, waitgroup.KeyMissing},
		trace.RenewFailed:       {mutex.RenewFailed, semaphore.RenewFailed, waitgroup.RenewFailed},
		trace.MaxHoldExceeded:   {mutex.MaxHoldExceeded, semaphore.MaxHoldExceeded},
		trace.NotReceived:       {mutex.NotReceived, semaphore.NotReceived},
		lease.AllReplicas:       {mutex.AllReplicas, semaphore.AllReplicas},
		redisstore.LevelOK:      {redisstore.Level(mutex.LevelOK)},
		redisstore.LevelUnknown: {redisstore.Level(mutex.LevelUnknown)},
		redisstore.LevelWarning: {redisstore.Level(mutex.LevelWarning)},
		redisstore.LevelFailure: {redisstore.Level(mutex.LevelFailure)},
	} {
		for _, p := range public {
			if p != internal {
				t.Errorf("the public value is %v, and the internal one %v", p, internal)
			}
		}
	}
}
