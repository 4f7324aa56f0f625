// Package device says what a device is, and holds the bus that finds one by guest physical address.
//
// A device knows its registers and how to raise its interrupt, nothing of any processor, board or address. Guests are not
// trusted: no access may panic, block, or allocate without bound.
package device

// Device is a block of memory-mapped registers. Methods are called from every hart's goroutine at once: a device guards
// its own state with a mutex.
type Device interface {
	// Load reads size bytes (1, 2, 4 or 8) at offset off, little-endian in the low bits of the result.
	// Preconditions: off+size is within the size the device was mapped with. off may be misaligned.
	// A register or size that does not exist reads as zero.
	Load(off uint64, size int) uint64
	// Store writes the low size bytes of v at off. Same preconditions; a register that does not exist ignores the write.
	Store(off uint64, size int, v uint64)
}

// Line is one level-triggered interrupt wire from a device to an interrupt controller. Set may be called from any
// goroutine, with device mutexes held; it never calls back into the device.
type Line interface {
	Set(level bool)
}

// LineFunc makes a function a [Line].
type LineFunc func(level bool)

// Set calls f.
func (f LineFunc) Set(level bool) { f(level) }

// Resetter is implemented by devices with state that a machine reset must clear.
type Resetter interface {
	// Reset returns the device to its state at power-on. No hart runs meanwhile.
	Reset()
}
