package htif

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/memory"
)

const (
	base     = memory.GPA(0x8000_0000)
	ramSize  = 4 * memory.PageSize
	toHost   = base + 0x1000
	fromHost = base + 0x1040
	call     = base + 0x2000 // a system call's words
	text     = base + 0x3000
)

type program struct {
	*HTIF
	ram   *memory.RAM
	out   bytes.Buffer
	codes []int
}

func newProgram(t testing.TB) *program {
	ram, err := memory.NewRAM(base, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close() })
	p := &program{ram: ram}
	p.HTIF, err = New(Config{RAM: ram, ToHost: toHost, FromHost: fromHost, Out: &p.out, Exit: func(c int) { p.codes = append(p.codes, c) }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var _ device.Device = (*HTIF)(nil)

func (p *program) sd(a memory.GPA, v uint64) { p.Store(uint64(a-p.Base()), 8, v) }
func (p *program) sw(a memory.GPA, v uint64) { p.Store(uint64(a-p.Base()), 4, v) }

// syscall leaves the words of a call at a, which need not be in RAM.
func (p *program) syscall(a memory.GPA, words ...uint64) {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	_ = p.ram.Write(a, b)
	p.sd(toHost, uint64(a))
}

func TestConventions(t *testing.T) {
	for _, c := range []struct {
		name   string
		run    func(p *program)
		codes  []int
		out    string
		result uint64 // of a system call at call
		from   uint64
	}{
		{"pass", func(p *program) { p.sd(toHost, 1) }, []int{0}, "", 0, 0},
		{"fail with test 5", func(p *program) { p.sd(toHost, 5<<1|1) }, []int{5}, "", 0, 0},
		{"riscv-tests: low half, then zero", func(p *program) { p.sw(toHost, 7<<1|1); p.sw(toHost+4, 0) }, []int{7}, "", 0, 0},
		{"zero is nothing", func(p *program) { p.sd(toHost, 0) }, nil, "", 0, 0},
		{"putchar", func(p *program) { p.sd(toHost, 0x0101<<48|'x') }, nil, "x", 0, 0x0101<<48 | 0x100 | 'x'},
		{"putchar in halves", func(p *program) { p.sw(toHost, 'b'); p.sw(toHost+4, 0x0101<<16) }, nil, "b", 0, 0x0101<<48 | 0x100 | 'b'},
		{"getchar is not answered", func(p *program) { p.sd(toHost, 0x0100<<48) }, nil, "", 0, 0},
		{"an unknown device", func(p *program) { p.sd(toHost, 0x7f01<<48|1) }, nil, "", 0, 0},
		{"write", func(p *program) {
			_ = p.ram.Write(text, []byte("hello"))
			p.syscall(call, sysWrite, 1, uint64(text), 5)
		}, nil, "hello", 5, 1},
		{"write nothing", func(p *program) { p.syscall(call, sysWrite, 1, uint64(text), 0) }, nil, "", 0, 1},
		{"write to a file that is not open", func(p *program) { p.syscall(call, sysWrite, 3, uint64(text), 5) }, nil, "", eBadF, 1},
		{"write from outside RAM", func(p *program) { p.syscall(call, sysWrite, 1, 0x1000, 5) }, nil, "", eFault, 1},
		{"write past RAM", func(p *program) { p.syscall(call, sysWrite, 2, uint64(text), ^uint64(0)) }, nil, "", eFault, 1},
		{"exit call", func(p *program) { p.syscall(call, sysExit, 3, 0, 0) }, []int{3}, "", sysExit, 0},
		{"unknown call", func(p *program) { p.syscall(call, 1000, 0, 0, 0) }, nil, "", eNoSys, 1},
		{"a call outside RAM", func(p *program) { p.sd(toHost, 0x1000) }, nil, "", 0, 0},
		{"a call that ends past RAM", func(p *program) { p.syscall(base+ramSize-24, sysExit, 1, 2) }, nil, "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProgram(t)
			c.run(p)
			if len(p.codes) != len(c.codes) || len(p.codes) == 1 && p.codes[0] != c.codes[0] {
				t.Errorf("exit codes %v, want %v", p.codes, c.codes)
			}
			if p.out.String() != c.out {
				t.Errorf("printed %q, want %q", p.out.String(), c.out)
			}
			if got, _ := p.ram.Load64(call); got != c.result {
				t.Errorf("result %#x, want %#x", got, c.result)
			}
			if got, _ := p.ram.Load64(fromHost); got != c.from {
				t.Errorf("fromhost %#x, want %#x", got, c.from)
			}
			if got, _ := p.ram.Load64(toHost); got != 0 {
				t.Errorf("tohost %#x, want 0", got)
			}
		})
	}
}

func TestPageIsRAM(t *testing.T) {
	p := newProgram(t)
	for i, size := range []int{1, 2, 4, 8} {
		off := uint64(0x100 + 16*i + 1) // misaligned for all but one
		v := uint64(0x1122_3344_5566_7788) >> (64 - 8*size)
		p.Store(off, size, v)
		if got := p.Load(off, size); got != v {
			t.Errorf("%d bytes read %#x, want %#x", size, got, v)
		}
		var b [8]byte
		_ = p.ram.Read(p.Base()+memory.GPA(off), b[:size])
		if got := binary.LittleEndian.Uint64(b[:]); got != v {
			t.Errorf("%d bytes in RAM are %#x, want %#x", size, got, v)
		}
	}
	if len(p.codes) != 0 || p.out.Len() != 0 {
		t.Error("a store beside tohost was taken for a command")
	}
}

func TestBadSymbol(t *testing.T) {
	p := newProgram(t)
	for _, a := range []memory.GPA{0, toHost + 4, base + ramSize} {
		if _, err := New(Config{RAM: p.ram, ToHost: a}); err == nil {
			t.Errorf("tohost at %#x was accepted", uint64(a))
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add(uint64(call), uint64(sysWrite), uint64(1), uint64(text), uint64(5))
	f.Add(uint64(0x0101<<48|'x'), uint64(0), uint64(0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, word, n, a0, a1, a2 uint64) {
		p := newProgram(t)
		for i, w := range []uint64{n, a0, a1, a2} {
			_ = p.ram.Store64(call+8*memory.GPA(i), w)
		}
		p.sd(toHost, word)
	})
}
