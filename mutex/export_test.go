package mutex

// Entries returns the number of keys in memory.
func (p *Pool) Entries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries.Entries)
}

// FlightCallers returns how many callers of this process wait for the value of key.
func FlightCallers(fl *Flight, key string) int {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if c := fl.calls[key]; c != nil {
		return c.waiting
	}
	return 0
}
