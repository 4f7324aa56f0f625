package storage

// Transfers that the host makes while nobody waits for them: as many at a time as the disk likes, for one goroutine that hears of their ends. A goroutine that waits
// in a call of the host's keeps one of the runtime's processors from the others until that is noticed, so that goroutines make two or three transfers at a time.

// MaxTransfers is how many an image has at a time: more than disks and the host's queues make use of.
const MaxTransfers = 128

// Async is implemented by images whose host has such transfers.
type Async interface {
	// Transfers are the image's, for one user at a time: the same each time, until the image is closed. The error says why there are none.
	Transfers() (Transfers, error)
}

// Transfers are those of an image. Begin may be called by any goroutine, Wait by one.
type Transfers interface {
	// Begin has the host fill bufs from off, or write them there. id is at least 0, less than MaxTransfers, and of no other transfer that has not ended. It is false
	// where the host does not take it, and nothing is begun: [Image] has the call that waits. If wait is false, so may be what would make the caller wait, and ends
	// with nothing done.
	Begin(id int, write bool, bufs [][]byte, off int64, wait bool) bool
	// Refused says that the host turned out to take none.
	Refused() bool
	// Wait waits for the end of one transfer at least, and says of how many it has; 0 when it has been stopped.
	Wait(into []Ended) int
	// Stop makes the Wait that is on, or else the next one, return 0. Precondition: Wait has told of the end of all that was begun.
	Stop()
}

// Ended is a transfer that has.
type Ended struct {
	ID    int
	Whole bool // all its bytes were moved. Otherwise a part may have been, and the call that waits, which does it again, finds out what is the matter
}
