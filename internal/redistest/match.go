package redistest

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// A rule is a fault for the next request that contains match.
type rule struct {
	match  []byte // in lower case
	action action
}

// matchRule counts a request and returns the action of the first rule that matches.
func (p *Proxy) matchRule(command string, frame []byte) action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[command]++
	lower := bytes.ToLower(frame)
	for i, r := range p.rules {
		if bytes.Contains(lower, r.match) {
			p.rules = append(p.rules[:i:i], p.rules[i+1:]...)
			if r.action == cutRequest {
				p.faults.RequestsCut++
			}
			return r.action
		}
	}
	return forward
}

// Answer imitates another server: the proxy replies to each request that contains match with the
// error text, and does not forward it. An empty text ends that.
func (p *Proxy) Answer(match, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = slices.DeleteFunc(p.answers, func(a answer) bool { return string(a.match) == strings.ToLower(match) })
	if text != "" {
		p.answers = append(p.answers, answer{[]byte(strings.ToLower(match)), []byte("-" + text + "\r\n")})
	}
}

// An answer is the proxy's own reply to requests that contain match.
type answer struct{ match, reply []byte }

// answerTo returns the proxy's own reply to a request, or nil.
func (p *Proxy) answerTo(frame []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.answers {
		if bytes.Contains(bytes.ToLower(frame), a.match) {
			p.faults.Answered++
			return a.reply
		}
	}
	return nil
}

// latency returns the delay of a frame, or of the end of a connection, in one direction.
func (p *Proxy) latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.switches.delay
}

// dispatch counts a frame and returns its latency.
func (p *Proxy) dispatch(held bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dispatchLocked(held)
}

func (p *Proxy) dispatchLocked(held bool) time.Duration {
	if held {
		p.faults.Held++
	}
	if p.switches.delay > 0 {
		p.faults.Delayed++
	}
	if p.switches.slice {
		p.faults.Sliced++
	}
	return p.switches.delay
}

// deliver returns how many copies of a message to send to its subscriber, and their delay.
func (p *Proxy) deliver(held bool) (copies int, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sw := &p.switches
	if sw.dropMessages > 0 {
		sw.dropMessages--
		p.faults.MessagesDropped++
		return 0, 0
	}
	if sw.messageDelay > 0 {
		p.faults.MessagesDelayed++
	}
	copies = 1
	if sw.duplicate {
		p.faults.MessagesDuplicated++
		copies = 2
	}
	return copies, p.dispatchLocked(held) + sw.messageDelay
}

func (p *Proxy) count(add func(*Faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.faults)
}
