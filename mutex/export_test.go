package mutex

// Entries returns the number of keys in memory.
func (p *Pool) Entries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries.Entries)
}
