package storage

// Transfers that the host makes while nobody waits for them: as many at a time as the disk likes, for one goroutine that hears of their ends. A goroutine that waits
// in a call of the host's keeps one of the runtime's processors from the others until that is noticed, so that goroutines make two or three transfers at a time.

// Async is implemented by images whose host has such transfers.
type Async interface {
	// Transfers prepares for so many at a time. The error says why there are none.
	Transfers(atOnce int) (Transfers, error)
}

// Transfers are those of one user of an image. Begin may be called by any goroutine, Wait by one.
type Transfers interface {
	// Begin has the host fill bufs from off, or write them there. id is at least 0 and less than atOnce, and of no other transfer that has not ended. It is false where
	// the host does not take it, and nothing is begun: [Image] has the call that waits.
	Begin(id int, write bool, bufs [][]byte, off int64) bool
	// Wait waits for the end of one transfer at least, and says of how many it has; 0 after Close.
	Wait(into []Ended) int
	// Close makes Wait return 0. Precondition: Wait has told of the end of all that was begun.
	Close() error
}

// Ended is a transfer that has.
type Ended struct {
	ID    int
	Whole bool // all its bytes were moved. Otherwise a part may have been, and the call that waits, which does it again, finds out what is the matter
}
