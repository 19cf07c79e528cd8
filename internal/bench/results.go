package main

import "time"

// A result is what a system has shown in a row: figures, one a round, and counts.
type result struct {
	rate, requests, cpu, client  series // holds a second; what a hold costs, in µs
	p50, p99, longest, writeWait series // of waits, in µs
	jain, load                   series // fairness; requests a second
	clashes, served, unserved    int64
	failed, writes               int64
	why                          string
}

// results are those of a row, by system.
type results map[string]*result

// of is the result of a system, to which it adds.
func (r results) of(name string) *result {
	if r[name] == nil {
		r[name] = new(result)
	}
	return r[name]
}

// rate is that of a system, nil if it has none.
func (r results) rate(name string) series {
	if x := r[name]; x != nil {
		return x.rate
	}
	return nil
}

func (x *result) add(t *trial, d time.Duration, sys system) {
	holds := t.holds() + t.Late
	per := float64(max(holds, 1))
	x.rate = append(x.rate, float64(t.holds())/d.Seconds())
	x.p50 = append(x.p50, micros(t.Waits.quantile(0.50)))
	x.p99 = append(x.p99, micros(t.Waits.quantile(0.99)))
	x.longest = append(x.longest, micros(t.Longest))
	x.jain = append(x.jain, jain(t.Holds))
	x.requests = append(x.requests, float64(t.requests(sys))/per)
	x.load = append(x.load, float64(t.requests(sys))/d.Seconds())
	x.cpu = append(x.cpu, micros(t.cpu)/per)
	x.client = append(x.client, micros(t.CPU)/per)
	if t.Writes > 0 {
		x.writes += t.Writes
		x.writeWait = append(x.writeWait, micros(t.WriteWait)/float64(t.Writes))
	}
	x.clashes += t.clashes
	x.served += holds
	x.unserved += t.Unserved
	x.failed += t.Failed
	if t.Why != "" {
		x.why = t.Why
	}
}

// ms are µs in ms.
func (s series) ms() (list series) {
	for _, x := range s {
		list = append(list, x/1000)
	}
	return list
}
