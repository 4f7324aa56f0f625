// Package code is where generated machine code lives and how Go enters it: the bottom of the translator, which knows of
// no guest.
//
//	arena.go, region.go   code memory: one arena, cut into regions that are filled, sealed and freed whole
//	views_*.go            the two mappings behind an arena
//	enter_*               the way into generated code and back
//	perfmap.go            names for generated code in Linux perf
//
// # W^X
//
// An arena is one memfd mapped twice: a view that can be written and never executed, and a view that can be executed and
// never written. Nothing changes protection afterwards, so there are no system calls on hot paths, and other harts
// keep executing a page while one writes to it. The file is sealed before the execute view is made: the kernel then refuses
// to make that view writable, whoever asks ([NewForPerf] differs). Addresses of generated code ([Addr]) are always those of the execute view; bytes
// to write are always slices of the write view.
//
// # Publication
//
// A compiler fills a block through the write view, and then publishes its Addr to other harts: by an atomic store to
// a table that they load from, or by [Arena.Patch] of a jump that they execute. Why a hart that sees the address also sees the code:
//
//   - x86-64 keeps stores in order (TSO). The bytes of the block are older in the compiler's program order than the store
//     that publishes it, so no core sees the second without the first. Go's atomic stores are locked instructions,
//     and the compiler moves no store across them.
//   - Instruction fetch is coherent: a core's instruction caches are snooped by physical address, which the two views share. A
//     core that has the line from an earlier life of the region loses it, with what it decoded from it, when the write takes
//     ownership of the line.
//   - What remains is stale bytes in a pipeline, fetched ahead and not retired when the store came. Processors notice that by physical
//     address, too, and restart. To the letter, the manuals promise it for code written through the address that it executes
//     at, and otherwise ask for a serializing instruction on the executing core (Intel SDM volume 3, "Self-Modifying Code" and
//     "Handling Self- and Cross-Modifying Code"; AMD APM volume 2, "Cross-Modifying Code"). [Arena.Serialize] is that, on
//     every core that runs a thread of this process. [Region.Free] does it, so that no core keeps anything of a life
//     in which the code really ran; what is fetched ahead later is poison, which no published path leads to. A publication by itself does
//     not, as in other translators with two views; a tier whose compilations are long can afford to.
//   - [Arena.Patch] changes code that others may be executing: four aligned bytes with one store, which fetch sees whole, before or
//     after. Either target is right at that moment, as the old one stays valid until its region is freed.
//
// # Faults
//
// Generated code must not fault: it checks every access it makes, and a guest cannot make it miss a check. It happens through a
// bug only, and then the process dies: see [Enter]. The exception are page faults and halts of an arena that has a routine for them ([Arena.HandleFaults]).
package code

import "errors"

// Addr is the address of generated code, in the execute view.
type Addr uintptr

// ErrForbidden says that this host does not let the process execute memory that it wrote (seccomp, SELinux, a hardened kernel), or
// that this build has no back end for the host at all. Interpret instead.
var ErrForbidden = errors.New("the host does not allow generated code")

// Align is the alignment of every block in bytes: that of a fetch window of the processors around.
const Align = 16

const (
	// StackBytes is how much of the stack generated code may use below its entry stack pointer, its return address included.
	StackBytes = enterFrame - 8

	// enterFrame is the frame of Enter in assembly: that stack, and a word for g above it. NOSPLIT functions share 800 bytes.
	enterFrame = 520
)
