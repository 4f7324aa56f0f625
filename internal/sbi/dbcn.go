package sbi

// Debug Console Extension (SBI 2.0 §12).

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
)

var dbcnExtension = extension{eid: 0x4442_434e, name: "DBCN", console: true, functions: []function{
	{"sbi_debug_console_write", consoleWrite},
	{"sbi_debug_console_read", consoleRead},
	{"sbi_debug_console_write_byte", consoleWriteByte},
}}

// maxConsole bounds what one call moves, in bytes, so that no hart is away from its fences for long. The specification lets a
// call do less than it was asked to, and guests go on from there.
const maxConsole = 4096

// consoleRange is the guest memory that the arguments name: a[0] bytes at the physical address a[1], whose upper half a[2] has
// to be zero, because no memory is up there. It is cut to what one call moves, but all of it must be RAM.
func (s *SBI) consoleRange(a args) ([]byte, bool) {
	if a[2] != 0 {
		return nil, false
	}
	p, err := s.cfg.RAM.Slice(memory.GPA(a[1]), a[0])
	return p[:min(len(p), maxConsole)], err == nil
}

// consoleWrite and consoleWriteByte leave first: a console may keep the hart waiting, for a reader of the host's that does not
// read, and other harts' fences must not wait with it.
func consoleWrite(s *SBI, h *hart.Hart, a args) result {
	p, good := s.consoleRange(a)
	if !good {
		return fail(errInvalidParam)
	}
	h.Leave()
	var buf [maxConsole]byte // the guest may change its own while the writer looks at it
	n, err := s.cfg.Console.Write(buf[:copy(buf[:], p)])
	if err != nil && n == 0 {
		return fail(errFailed)
	}
	return ok(uint64(n))
}

func consoleRead(s *SBI, _ *hart.Hart, a args) result {
	p, good := s.consoleRange(a)
	if !good {
		return fail(errInvalidParam)
	}
	n := uint64(s.cfg.Console.TryRead(p))
	s.cfg.RAM.Code().Note(memory.GPA(a[1]), n)
	return ok(n)
}

func consoleWriteByte(s *SBI, h *hart.Hart, a args) result {
	h.Leave()
	if _, err := s.cfg.Console.Write([]byte{byte(a[0])}); err != nil {
		return fail(errFailed)
	}
	return ok(0)
}
