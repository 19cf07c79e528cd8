package semaphore

// OldestInside returns the oldest lease that is inside by Acquire. It is not to be had
// until put is called: whoever looks at it panics.
func (s *Weighted) OldestInside() (put func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.leases[0].lease
	s.leases[0].lease = nil
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leases[0].lease = oldest
	}
}
