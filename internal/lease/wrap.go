package lease

import (
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// wrap names the operation and the key, but leaves the sentinels as they are.
func (l *Lease) wrap(err, redis error) error {
	if err == nil || err == ErrLocked || err == ErrLost || err == ErrReleased {
		return err
	}
	name := l.queue.name
	return retry.WrapRedis(opName(name.Kind, l.try, l.shared), name.Key, err, redis)
}

// wrap is as that of a lease which has no line yet.
func (p *Params) wrap(err error) error {
	return retry.Wrap(opName(p.Kind, p.Try, p.Shared), p.Key, err)
}

// errGroupLost is the ErrLost of those who wait for a group.
var errGroupLost = fmt.Errorf("the group is not in Redis any more (%w)", ErrLost)
