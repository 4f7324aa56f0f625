package blk

// The pacer: it holds the jobs that a limit keeps back, reads and writes each in their order, and lets them go when their time has come. Nobody else waits: neither a
// hart, nor a worker, nor a reset.

import (
	"sync"
	"time"
)

type pacer struct {
	session *session
	wake    chan struct{} // capacity 1: a job is held

	mu   sync.Mutex // taken inside a queue's lock; limiter.mu is taken inside it
	held [directions][]*job
}

func (p *pacer) init(s *session) {
	p.session, p.wake = s, make(chan struct{}, 1)
}

// limited says which limits a job is for, if any.
func (j *job) limited() (d direction, ok bool) {
	r := &j.reqs[0]
	switch {
	case r.verdict != statusOK:
	case r.typ == typeIn:
		return reads, true
	case kinds[r.typ].changes:
		return writes, true
	}
	return 0, false
}

// moves is how many bytes a job has for the limits.
func (j *job) moves() uint64 {
	if j.reqs[0].onSectors() {
		return j.bytes
	}
	return 0
}

// admit lets a job pass, or holds it.
func (p *pacer) admit(j *job) bool {
	d, ok := j.limited()
	if !ok {
		return true
	}
	p.mu.Lock()
	if len(p.held[d]) == 0 && p.session.dev.limiter.pass(d, j.moves(), len(j.reqs), time.Now()) == 0 {
		p.mu.Unlock()
		return true
	}
	p.held[d] = append(p.held[d], j)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return false
}

// run lets jobs go until the session ends.
func (p *pacer) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, some := p.release(time.Now())
		if some {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-p.session.stop:
			return
		case <-p.wake:
		case <-p.session.dev.limiter.changed:
		case <-timer.C:
		}
	}
}

// release hands over what may pass, and returns how long until more may; some is false if nothing is held.
func (p *pacer) release(now time.Time) (wait time.Duration, some bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d := range directions {
		for len(p.held[d]) > 0 {
			j := p.held[d][0]
			w := p.session.dev.limiter.pass(d, j.moves(), len(j.reqs), now)
			if w > 0 {
				if !some || w < wait {
					wait, some = w, true
				}
				break
			}
			n := copy(p.held[d], p.held[d][1:])
			p.held[d][n] = nil
			p.held[d] = p.held[d][:n]
			p.session.backlog.push(j)
		}
	}
	return wait, some
}
