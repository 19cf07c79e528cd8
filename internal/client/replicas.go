package client

import (
	"math"
	"time"
)

// AllReplicas asks for confirmation by every replica that is connected to the master, and
// by one at least.
const AllReplicas = -1

// MaxReplicaTimeout is the longest that a grant waits for replicas. It is shorter than the time
// after which a poll is sent again.
const MaxReplicaTimeout = time.Second

// Confirm states how many replicas must have received a grant or a renewal before it counts.
// It is small, because each lease has one.
type Confirm struct {
	Replicas uint8 // 0 for none, allReplicas for AllReplicas: the strongest is the largest
	timeout  uint8 // in timeoutUnit
}

const (
	allReplicas = math.MaxUint8
	timeoutUnit = 4 * time.Millisecond
)

// All reports whether every connected replica must confirm.
func (c Confirm) All() bool { return c.Replicas == allReplicas }

// Timeout is how long a grant waits for replicas.
func (c Confirm) Timeout() time.Duration { return time.Duration(c.timeout) * timeoutUnit }

// NewConfirm returns the Confirm of a lease. Its timeout leaves most of the TTL to hold in.
func NewConfirm(replicas int, timeout, ttl time.Duration) Confirm {
	if replicas == 0 {
		return Confirm{}
	}
	if timeout == 0 || timeout > MaxReplicaTimeout {
		timeout = MaxReplicaTimeout
	}
	c := Confirm{uint8(min(uint(replicas), allReplicas-1)), uint8(max(min(timeout, ttl/3)/timeoutUnit, 1))}
	if replicas == AllReplicas {
		c.Replicas = allReplicas
	}
	return c
}
