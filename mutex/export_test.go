package mutex

// Entries is how many keys the pool has in memory.
func (p *Pool) Entries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries.Entries)
}
