// Package htif is the host-target interface of ELF test programs: two 8-byte words in RAM, at the symbols tohost and
// fromhost, with which a program talks to its simulator. riscv-tests end this way, and small bare-metal programs print.
//
// The device is mapped over the RAM page that holds tohost. Loads and stores reach the RAM beneath, so the words and their
// neighbours are ordinary memory; a store to tohost is looked at besides. By the conventions that riscv-tests and riscv-pk
// rely on, a word is device<<56 | command<<48 | payload:
//
//   - device 0, command 0, odd payload: end with code payload>>1.
//   - device 0, command 0, even payload: the address of a system call (number and arguments, 8 bytes each). The result
//     replaces the number and fromhost becomes 1.
//   - device 1, command 1: print the byte in the payload; fromhost acknowledges. Command 0 (read a byte) is never answered,
//     as by a terminal at which nobody types.
//
// tohost is cleared when a command has been taken.
package htif

import (
	"io"
	"sync"

	"github.com/vmproject/vm/internal/memory"
)

// Commands: device<<8 | command.
const (
	cmdSyscall = 0x0000
	cmdGetChar = 0x0100
	cmdPutChar = 0x0101
)

const payloadMask = 1<<48 - 1

// System calls of the proxy, numbered as Linux for RISC-V numbers them.
const (
	sysWrite     = 64
	sysExit      = 93
	sysExitGroup = 94
)

// Results of system calls, as negated Linux error numbers.
const (
	eBadF  = ^uint64(9) + 1
	eFault = ^uint64(14) + 1
	eIO    = ^uint64(5) + 1
	eNoSys = ^uint64(38) + 1
)

// Config says where the interface lies.
type Config struct {
	RAM      *memory.RAM
	ToHost   memory.GPA     // the symbol tohost, 8-byte aligned, in RAM
	FromHost memory.GPA     // the symbol fromhost, 0 when there is none
	Out      io.Writer      // receives what the program prints; nil discards. A write that blocks holds up the hart, as in a process
	Exit     func(code int) // called on the hart's goroutine when the program ends; must not block
}

// HTIF is the interface of one program.
type HTIF struct {
	cfg  Config
	page memory.GPA

	mu sync.Mutex // one store at a time is looked at
}

// New makes the interface. Map it at [HTIF.Base] with a size of [memory.PageSize]; code in that page cannot run, so a
// program keeps tohost in a page of data, as the linker scripts of the test suites do.
func New(cfg Config) (*HTIF, error) {
	if cfg.ToHost&7 != 0 || !cfg.RAM.Contains(cfg.ToHost, 8) {
		return nil, &memory.RangeError{Addr: cfg.ToHost, Len: 8}
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	return &HTIF{cfg: cfg, page: cfg.ToHost &^ memory.PageMask}, nil
}

// Base is the page to map the device over.
func (h *HTIF) Base() memory.GPA { return h.page }

// Load implements [device.Device].
func (h *HTIF) Load(off uint64, size int) uint64 { return h.load(h.page+memory.GPA(off), size) }

// load reads RAM; RAM that is not there reads as zero.
func (h *HTIF) load(a memory.GPA, size int) uint64 {
	switch size {
	case 1:
		v, _ := h.cfg.RAM.Load8(a)
		return uint64(v)
	case 2:
		v, _ := h.cfg.RAM.Load16(a)
		return uint64(v)
	case 4:
		v, _ := h.cfg.RAM.Load32(a)
		return uint64(v)
	}
	v, _ := h.cfg.RAM.Load64(a)
	return v
}

// store writes RAM; a write where there is none is lost.
func (h *HTIF) store(a memory.GPA, size int, v uint64) {
	switch size {
	case 1:
		_ = h.cfg.RAM.Store8(a, uint8(v))
	case 2:
		_ = h.cfg.RAM.Store16(a, uint16(v))
	case 4:
		_ = h.cfg.RAM.Store32(a, uint32(v))
	default:
		_ = h.cfg.RAM.Store64(a, v)
	}
}

// Store implements [device.Device].
func (h *HTIF) Store(off uint64, size int, v uint64) {
	a := h.page + memory.GPA(off)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.store(a, size, v)
	switch {
	case a == h.cfg.ToHost && size == 8, a == h.cfg.ToHost+4 && size == 4:
		h.command(h.load(h.cfg.ToHost, 8))
	case a == h.cfg.ToHost && size == 4:
		// riscv-tests store an exit code as the low half, then zero as the high one. Other commands in halves are complete
		// with the high half.
		if v := h.load(h.cfg.ToHost, 8); v>>48 == cmdSyscall && v&1 != 0 {
			h.command(v)
		}
	}
}

// command takes one word of tohost.
func (h *HTIF) command(v uint64) {
	if v == 0 {
		return
	}
	h.store(h.cfg.ToHost, 8, 0)
	payload := v & payloadMask
	switch v >> 48 {
	case cmdSyscall:
		if payload&1 != 0 {
			h.exit(payload >> 1)
			return
		}
		h.syscall(memory.GPA(payload))
	case cmdPutChar:
		_, _ = h.cfg.Out.Write([]byte{byte(payload)})
		// A program that never looks at fromhost must not find a stale answer in its first system call.
		if h.fromHost() == 0 {
			h.answer(cmdPutChar<<48 | 0x100 | payload&0xff)
		}
	case cmdGetChar:
	}
}

func (h *HTIF) exit(code uint64) { h.cfg.Exit(int(code & 0x7fff_ffff)) }

func (h *HTIF) fromHost() uint64 {
	if h.cfg.FromHost == 0 {
		return 0
	}
	return h.load(h.cfg.FromHost, 8)
}

func (h *HTIF) answer(v uint64) {
	if h.cfg.FromHost != 0 {
		h.store(h.cfg.FromHost, 8, v)
	}
}

// syscall serves the call whose number and three arguments are at a.
func (h *HTIF) syscall(a memory.GPA) {
	if !h.cfg.RAM.Contains(a, 4*8) {
		return // nowhere to put an answer
	}
	result := eNoSys
	arg := func(i memory.GPA) uint64 { return h.load(a+8*i, 8) }
	switch arg(0) {
	case sysExit, sysExitGroup:
		h.exit(arg(1) & 0xff)
		return
	case sysWrite:
		result = h.write(arg(1), arg(2), arg(3))
	}
	h.store(a, 8, result)
	h.answer(1)
}

func (h *HTIF) write(fd, buf, n uint64) uint64 {
	if fd != 1 && fd != 2 {
		return eBadF
	}
	p, err := h.cfg.RAM.Slice(memory.GPA(buf), n)
	if err != nil {
		return eFault
	}
	w, err := h.cfg.Out.Write(p)
	if err != nil && w == 0 && n > 0 {
		return eIO
	}
	return uint64(w)
}
