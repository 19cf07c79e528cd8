package semaphore

// HideOldestInside removes the oldest lease of Acquire until restore is called: code that uses the
// lease panics.
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
