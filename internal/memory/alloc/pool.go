package alloc

// Pool hands out objects and takes them back in any order. The zero value is ready; not for several goroutines at once.
//
// An object keeps what it held: its slices keep their room, and who gets it resets it. The last one that came back is the first to go, as it is
// most likely in the cache.
type Pool[T any] struct {
	free []*T
	// Poison makes a released object one that nobody can use by mistake, where the tag allocdebug is set. Nil: it is zeroed.
	Poison func(*T)
	debug  poolDebug[T]
}

// Get returns an object that is in nobody else's hands: one that was put back, or a new one, all zero.
func (p *Pool[T]) Get() *T {
	n := len(p.free)
	if n <= quarantine {
		return new(T)
	}
	if quarantine > 0 {
		return p.oldest()
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	return x
}

// oldest is Get where released objects wait: the one that has waited longest.
func (p *Pool[T]) oldest() *T {
	x := p.free[0]
	p.free = p.free[:copy(p.free, p.free[1:])]
	p.debug.got(x)
	return x
}

// Put takes an object back. Nobody may use it afterwards.
func (p *Pool[T]) Put(x *T) {
	p.debug.put(x, p.Poison)
	p.free = append(p.free, x)
}

// Live panics where the tag allocdebug is set and x has been put back.
func (p *Pool[T]) Live(x *T) { p.debug.live(x) }
