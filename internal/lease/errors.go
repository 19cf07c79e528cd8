package lease

import "github.com/seed-3d5fec5c/baton/internal/retry"

// opName is the operation that errors of a request name. The words are constant, because a
// failed try should not allocate them.
func opName(kind Kind, try, shared, term bool) string {
	switch {
	case term:
		return "campaign"
	case kind == Semaphore && try:
		return "try to acquire"
	case kind == Semaphore:
		return "acquire"
	case try && shared:
		return "try to lock for reading"
	case try:
		return "try to lock"
	case shared:
		return "lock for reading"
	}
	return "lock"
}

// wrap returns err with the operation and the key, nil if it is nil. Inside this package
// the sentinels are bare.
func (l *Lease) wrap(err, redis error) error {
	name := l.queue.name
	if l.term() && err == ErrReleased {
		err = ErrResigned
	}
	return wrapEnd(opName(name.Kind, l.try, l.shared, l.term()), name, err, redis)
}

// wrapRelease is like wrap for a call of Release.
func (l *Lease) wrapRelease(err error) error {
	op := "unlock"
	switch {
	case l.term():
		op = "resign"
		if err == ErrReleased {
			err = ErrResigned
		}
	case l.queue.name.Kind == Semaphore:
		op = "release"
	}
	return wrapEnd(op, l.queue.name, err, nil)
}

func wrapEnd(op string, name Name, err, redis error) error {
	switch {
	case err == nil, name == Name{}: // the zero Lease has no key
		return err
	case err == ErrLocked && name.Kind == Semaphore:
		err = ErrNotAvailable
	case err == ErrReleased && name.Kind != Semaphore:
		err = ErrUnlocked
	}
	return retry.WrapRedis(op, name.Key, err, redis)
}

// wrap is as that of a lease which has no queue yet.
func (p *Params) wrap(err error) error {
	return retry.Wrap(opName(p.Kind, p.Try, p.Shared, p.Term), p.Key, err)
}
