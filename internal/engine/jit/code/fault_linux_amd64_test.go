package code

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What generated code reads and what the handler writes, at fixed distances from base.
type faultState struct {
	address         uintptr // where to load from and store to
	pc, fault, code uint64
}

// A load and a store of a page that may not be accessed go on in the arena's routine, and the handler tells what happened; afterwards too, when the
// page may be accessed, they are plain accesses.
func TestFaultsGoOnInTheRoutine(t *testing.T) {
	a := makeArena(t, 2*testRegion, testRegion)
	r := mustOpen(t, a)
	routine := install(t, r, moveImmediate(42)...)
	// mov rcx,[rbp]; mov rax,[rcx]; ret, and mov rcx,[rbp]; mov [rcx],rax; mov eax,7; ret
	load := install(t, r, 0x48, 0x8B, 0x4D, 0x00, 0x48, 0x8B, 0x01, 0xC3)
	store := install(t, r, 0x48, 0x8B, 0x4D, 0x00, 0x48, 0x89, 0x01, 0xB8, 7, 0, 0, 0, 0xC3)
	err := a.HandleFaults(Faults{
		Routine: routine, PC: int32(unsafe.Offsetof(faultState{}.pc)), Address: int32(unsafe.Offsetof(faultState{}.fault)), Code: int32(unsafe.Offsetof(faultState{}.code)),
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	// Safe: the mapping is larger than the struct, which holds no pointers of Go's.
	s := (*faultState)(unsafe.Pointer(unsafe.SliceData(mem)))
	s.address = uintptr(unsafe.Pointer(unsafe.SliceData(page))) + 0x123
	for _, c := range []struct {
		name  string
		at    Addr
		store bool
		plain uint64
	}{{"load", load, false, 0}, {"store", store, true, 7}} {
		for _, e := range entries {
			*s = faultState{address: s.address}
			if v := e.enter(c.at, unsafe.Pointer(s)); v != 42 {
				t.Errorf("%s, %s: %d, not what the routine says", c.name, e.name, v)
			}
			if s.pc != uint64(c.at)+4 || s.fault != uint64(s.address) || s.code&FaultStore != 0 != c.store {
				t.Errorf("%s, %s: the handler says %+v", c.name, e.name, *s)
			}
		}
		if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
		if v := Enter(c.at, unsafe.Pointer(s)); v != c.plain {
			t.Errorf("%s of a page that is there: %d", c.name, v)
		}
		if err := unix.Mprotect(page, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
}

// A halt, which a process may not execute, goes on in the routine, too; no address comes with it.
func TestHaltsGoOnInTheRoutine(t *testing.T) {
	a := makeArena(t, 2*testRegion, testRegion)
	r := mustOpen(t, a)
	routine := install(t, r, moveImmediate(42)...)
	halt := install(t, r, 0xF4)
	if err := a.HandleFaults(Faults{Routine: routine, PC: 0, Address: 8, Code: 16}); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	for _, e := range entries {
		clear(mem)
		if v := e.enter(halt, unsafe.Pointer(unsafe.SliceData(mem))); v != 42 {
			t.Errorf("%s: %d, not what the routine says", e.name, v)
		}
		if pc, at := binary.LittleEndian.Uint64(mem), binary.LittleEndian.Uint64(mem[8:]); pc != uint64(halt) || at != ^uint64(0) {
			t.Errorf("%s: the handler says a halt at %#x was one at %#x, of address %#x", e.name, halt, pc, at)
		}
	}
}

// An arena that is closed gives its place in the handler's table back.
func TestFaultsOfManyArenas(t *testing.T) {
	for range 2 * maxFaultRanges {
		a, err := New(testRegion, testRegion)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.HandleFaults(Faults{}); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range maxFaultRanges {
		_ = makeArena(t, MinRegion, MinRegion).HandleFaults(Faults{})
	}
	if makeArena(t, MinRegion, MinRegion).HandleFaults(Faults{}) == nil {
		t.Error("there is no end to the table")
	}
}
