package semaphore

// HideOldestInside makes whoever looks at the oldest lease inside by Acquire panic, until restore is
// called.
func (s *Weighted) HideOldestInside() (restore func()) {
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
