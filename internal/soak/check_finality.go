package main

// finality is S3, as far as workers can see it: what has ended is not believed in
// again.
func finality(s *timeline) (list []violation) {
	for _, h := range s.list {
		if h.revived != 0 {
			list = append(list, violated("S3", "believed in at %.3f ms, after its end: %v", float64(h.revived)/1e6, h))
		}
	}
	return list
}
