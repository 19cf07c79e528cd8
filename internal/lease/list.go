package lease

// list is a queue of leases, linked through them: a waiter among a hundred
// thousand leaves it at no cost, and none allocates.
type list struct {
	head, tail *Lease
	n          int64
	tries      int64 // of them
}

func (q *list) push(l *Lease) {
	l.prev, l.next = q.tail, nil
	if q.tail == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
	q.n++
	if l.try {
		q.tries++
	}
}

func (q *list) remove(l *Lease) {
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
	q.n--
	if l.try {
		q.tries--
	}
}

// clearJoinedLate notes that the next request is sent for all leases that wait. This matters for the
// tries, and for the first lease.
func (q *list) clearJoinedLate() {
	for l := q.head; l != nil; l = l.next {
		l.joinedLate = false
		if q.tries == 0 {
			return
		}
	}
}

// weight is what the first n leases of the queue want together.
func (q *list) weight(n int) (sum int64) {
	for l := q.head; l != nil && n > 0; l, n = l.next, n-1 {
		sum += l.weight
	}
	return sum
}
