// Package syscon is the test finisher (device tree: sifive,test1, sifive,test0, syscon): the register with which a guest
// ends or restarts the machine.
package syscon

import "github.com/vmproject/vm/internal/device"

// Size is the size in bytes of the register block.
const Size = 0x1000

// What the low half of the register means; with fail, the high half is the exit code.
const (
	fail  = 0x3333
	pass  = 0x5555
	reset = 0x7777
)

// Kind is what a guest asks for.
type Kind uint8

// The requests.
const (
	PowerOff Kind = iota
	Reboot
	Exit
)

// Request is what a guest asks for. Code is meant with Exit: 0 to 65535.
type Request struct {
	Kind Kind
	Code int
}

type syscon struct{ do func(Request) }

// New makes a finisher that calls do for each request, on the goroutine of the hart that made it: do must not block.
func New(do func(Request)) device.Device { return syscon{do} }

// Load implements [device.Device]. The register is write-only.
func (s syscon) Load(uint64, int) uint64 { return 0 }

// Store implements [device.Device].
func (s syscon) Store(off uint64, size int, v uint64) {
	if off != 0 || size == 1 {
		return
	}
	if size == 2 {
		v &= 0xffff
	}
	switch v & 0xffff {
	case fail:
		s.do(Request{Exit, int(v >> 16 & 0xffff)})
	case pass:
		s.do(Request{Kind: PowerOff})
	case reset:
		s.do(Request{Kind: Reboot})
	}
}
