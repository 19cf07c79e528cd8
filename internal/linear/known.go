package linear

// What one would like to be true, and the documentation therefore excepts, as
// these checks found. Set one to true when it is, and it is checked.
const (
	// TryRLock fails only if a writer holds or awaits the lock. Today it also does
	// while another reader of its own process is asking Redis.
	triesToReadSeeWriters = false
	// What Release gives back is there for others when it returns. Today that comes
	// after, if a request of the same process for the same semaphore is under way.
	releaseIsPrompt = false
	// Of holds on a semaphore that do not overlap the later has the greater fence.
	// Today a hold that passes inside a process goes on from the fence of that
	// process's last grant, and may be below one of another process that came and
	// went in between.
	permitFencesGrow = false
	// After a Resize to less than is in use, nobody gets a permit until enough have
	// come back. Today permits go on passing inside a process for its quantum.
	resizeIsPrompt = false
	// Who waits in vain for permits of which there are enough gets ctx's error and
	// no other.
	sizeErrorsAreOwn = true
)
