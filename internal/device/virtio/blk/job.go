package blk

// Jobs: what goes to the image in one piece. A read takes in the reads of the sectors behind it that are next in the ring, a write the writes: one preadv instead
// of several. Nothing overtakes anything inside a job, and requests that are merged never overlap.

import (
	"slices"

	"github.com/vmproject/vm/internal/device/virtio"
)

// How much becomes one job: what one preadv of package storage takes, and no more bytes than a worker moves while others could do a part of it.
const (
	mergeBuffers = 256
	mergeBytes   = 1 << 20
)

// job is one or more requests of a queue.
type job struct {
	server *server
	next   *job // in the backlog
	reqs   []request
	bufs   [][]byte // the data of all, where they are several
	bytes  uint64   // of data
	behind Sector   // the sector that follows the last one
	used   []virtio.Used
	// touched: the host did not do all of it, but may have changed the memory that it is about. It is a worker's now.
	touched bool
}

// short says that it is of a kind that is likely to take as long as the one before.
func (j *job) short() bool { return len(j.reqs) > 0 && j.reqs[0].onSectors() }

func (j *job) reset() {
	j.reqs, j.bufs, j.used, j.touched = j.reqs[:0], j.bufs[:0], j.used[:0], false
}

// room is where a request is put that may become a part of the job.
func (j *job) room() *request {
	j.reqs = slices.Grow(j.reqs, 1)
	return &j.reqs[:len(j.reqs)+1][len(j.reqs)]
}

// add makes what is in room a part of the job, if it is the first or what follows.
func (j *job) add() bool {
	r := j.room()
	data, n := r.data()
	if len(j.reqs) > 0 {
		first := &j.reqs[0]
		switch {
		case !r.onSectors() || !first.onSectors() || r.typ != first.typ || r.sector != j.behind:
			return false
		case n == 0 || j.bytes+n > mergeBytes:
			return false
		}
		if len(j.reqs) == 1 {
			d, _ := first.data()
			j.bufs = append(j.bufs, d...)
		}
		if len(j.bufs)+len(data) > mergeBuffers {
			if len(j.reqs) == 1 {
				j.bufs = j.bufs[:0]
			}
			return false
		}
		j.bufs = append(j.bufs, data...)
		j.bytes += n
	} else {
		j.bytes = n
	}
	j.reqs = j.reqs[:len(j.reqs)+1]
	j.behind = r.sector + Sector(n>>sectorShift)
	return true
}

// data is what a job of reads or writes moves, and where it is in the image, in bytes.
func (j *job) data() (bufs [][]byte, off int64) {
	bufs = j.bufs
	if len(j.reqs) == 1 {
		bufs, _ = j.reqs[0].data()
	}
	return bufs, j.reqs[0].sector.bytes()
}

// runNow carries out a job that waits for nothing; done is false if it is none.
func (j *job) runNow(s *session) (done bool) {
	r := &j.reqs[0]
	if !r.onSectors() {
		if r.verdict == statusOK {
			return false
		}
		j.finish(r.verdict)
		return true
	}
	bufs, off := j.data()
	var err error
	switch {
	case r.typ == typeIn:
		done, err = s.prompt.ReadvNow(bufs, off)
	case s.features&FeatureFlush != 0:
		done, err = s.prompt.WritevNow(bufs, off)
	}
	if err != nil || !done {
		j.touched = true
		return false // a worker tries again, and knows what to do about it
	}
	j.finish(statusOK)
	return true
}

// run carries the job out, however long that takes.
func (j *job) run(s *session, w *scratch) {
	r := &j.reqs[0]
	if !r.onSectors() {
		st := r.verdict
		if st == statusOK {
			st = s.dev.statusOf(s.execute(r, w))
		}
		j.finish(st)
		return
	}
	bufs, off := j.data()
	err := s.transfer(r.typ, bufs, off)
	if err == nil || len(j.reqs) == 1 {
		j.finish(s.dev.statusOf(err))
		return
	}
	// One of them failed, or what they have in common: each for itself.
	for i := range j.reqs {
		r := &j.reqs[i]
		data, _ := r.data()
		j.used = append(j.used, r.finish(s.dev.statusOf(s.transfer(r.typ, data, r.sector.bytes()))))
	}
}

// transfer is one read or write of the image.
func (s *session) transfer(typ uint32, bufs [][]byte, off int64) error {
	if typ == typeIn {
		return s.dev.img.ReadvAt(bufs, off)
	}
	if err := s.dev.img.WritevAt(bufs, off); err != nil {
		return err
	}
	return s.settle(&kinds[typ])
}

// finish ends all requests with a status.
func (j *job) finish(st status) {
	for i := range j.reqs {
		j.used = append(j.used, j.reqs[i].finish(st))
	}
}
