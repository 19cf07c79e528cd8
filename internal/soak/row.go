package main

// A row is what has come of a kind of fault.
type row struct {
	fault                     string
	rows                      string
	on                        map[string]bool
	faultRuns, counted, fired int
	before, during, after     int // grants
	violations                int
	worst                     delay    // the one that came closest to its bound, or went beyond
	why                       []string // episodes were not counted
}

func (r *row) slowest(list []delay) {
	for _, d := range list {
		if r.worst.bound == 0 || float64(d.took)/float64(d.bound) > float64(r.worst.took)/float64(r.worst.bound) {
			r.worst = d
		}
	}
}
