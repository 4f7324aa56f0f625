package blk

// Limits: token buckets. A request passes when every bucket that it is for holds what it costs, or is full, for those that cost more than it holds: the bucket owes
// the rest then. So no request waits for ever, and the long run has the rate exactly.

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is what a bucket is filled with.
type Rate struct {
	PerSecond int64 // 0: no limit
	Burst     int64 // how much the bucket holds; 0: what comes in a tenth of a second
}

// Limit is for one direction.
type Limit struct{ Bytes, Requests Rate }

// Limits are what a disk may do: reads, writes (discards and write-zeroes among them, which move no bytes), and both together. Flushes are free.
type Limits struct{ Read, Write, Total Limit }

// Check says what is wrong with limits.
func (l *Limits) Check() error {
	for _, x := range [...]Limit{l.Read, l.Write, l.Total} {
		for _, r := range [...]Rate{x.Bytes, x.Requests} {
			switch {
			case r.PerSecond < 0 || r.Burst < 0:
				return errors.New("a disk's limit is negative: 0 is none")
			case r.PerSecond == 0 && r.Burst != 0:
				return errors.New("a disk's burst needs a limit: give a rate with it")
			}
		}
	}
	return nil
}

// bucket is one token bucket. The zero value has no limit.
type bucket struct {
	rate   float64 // a second
	size   float64
	tokens float64 // less than 0: owed
	at     time.Time
}

func newBucket(r Rate, now time.Time) bucket {
	size := float64(r.Burst)
	if size == 0 {
		size = max(1, float64(r.PerSecond)/10)
	}
	return bucket{rate: float64(r.PerSecond), size: size, tokens: size, at: now}
}

// wait brings the bucket up to date and returns how long it takes until something of that cost may pass.
func (b *bucket) wait(cost float64, now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.size, b.tokens+b.rate*d.Seconds())
		b.at = now
	}
	const (
		least   = 1e-6 // tokens, for what the arithmetic loses
		longest = float64(math.MaxInt64 / 2)
	)
	lacks := min(cost, b.size) - b.tokens
	if lacks <= least {
		return 0
	}
	return time.Duration(min(longest, math.Ceil(lacks/b.rate*float64(time.Second))))
}

func (b *bucket) spend(n float64) {
	if b.rate != 0 {
		b.tokens -= n
	}
}

// direction of a request, as the limits have it.
type direction int

const (
	reads direction = iota
	writes
	directions
)

// limiter is the limits of a disk at work.
type limiter struct {
	on      atomic.Bool
	changed chan struct{} // capacity 1: there are others

	mu      sync.Mutex                // a leaf
	buckets [directions + 1][2]bucket // both at the end; bytes and requests
}

func (l *limiter) set(limits Limits, now time.Time) {
	l.mu.Lock()
	for i, x := range [...]Limit{reads: limits.Read, writes: limits.Write, directions: limits.Total} {
		l.buckets[i] = [2]bucket{newBucket(x.Bytes, now), newBucket(x.Requests, now)}
	}
	l.on.Store(limits != Limits{})
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// pass takes what a job costs from the buckets and returns 0, or how long to wait at least.
func (l *limiter) pass(d direction, bytes uint64, requests int, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine, both := &l.buckets[d], &l.buckets[directions]
	costs := [2]float64{float64(bytes), float64(requests)}
	var wait time.Duration
	for i, c := range costs {
		wait = max(wait, mine[i].wait(c, now), both[i].wait(c, now))
	}
	if wait == 0 {
		for i, c := range costs {
			mine[i].spend(c)
			both[i].spend(c)
		}
	}
	return wait
}
