package vm

import (
	"io"
	"log/slog"
)

// Config describes a machine. The zero value of each field is its default.
type Config struct {
	// Kernel is the path of a RISC-V Linux Image (plain, gzip, zstd, EFI stub) or an ELF file. Default: Guest's kernel.
	Kernel string
	// Initrd is the path of an initial RAM disk, handed over as it is (followed by what Command and Files add).
	Initrd string
	// Append is added to the kernel command line, behind the machine's own words.
	Append string
	// MMU is the paging mode that Linux is asked to use, by its command line: "sv39", the default, which is the fastest and has room for 256 GiB of
	// user addresses; "sv48"; or "sv57". The harts have all three. The words no4lvl and no5lvl in Append decide themselves.
	MMU string
	// Bios is the path of an ELF or flat binary entered in M-mode at 0x80000000 instead of the built-in SBI.
	Bios string
	// DTB is the path of a device tree blob that replaces the generated one.
	DTB string
	// DumpDTB is a path to write the machine's device tree to, before it starts.
	DumpDTB string

	// Memory is the guest RAM in bytes, a multiple of 4096. Default 512 MiB.
	Memory uint64
	// HugePages is the size in bytes of pages from the host's pool of huge pages that the memory is made of: 2 MiB or 1 GiB, and the memory a multiple of
	// that. Default: none; the host makes huge pages of what it has free, where it can. Address spaces of the guest are not mirrored then (see JIT).
	HugePages uint64
	// Prefault has the host commit all of the memory before the guest starts, which then waits for none, instead of each page as it is first touched.
	Prefault bool
	// Progress is told how many bytes of how many Prefault has committed.
	Progress func(done, total uint64)
	// Balloon gives memory that the guest has had free for a while back to the host, which commits it anew, zero, when the guest uses it again; and
	// Machine.SetBalloon asks the guest for more. It needs a driver in the guest: Linux's is a module of Guest. Memory in HugePages cannot go back.
	Balloon bool
	// NUMA is the nodes of the guest's memory. Default: the guest has no notion of nodes, and the host puts pages where it likes.
	NUMA []NUMANode
	// CPUs is the number of harts, 1 to 8. Default 1.
	CPUs int
	// Engine is "jit", the translator to host code, on linux/amd64 only; "interp", the reference interpreter, which runs everywhere and is
	// several times slower; or "auto", the default: the fastest this host has. Where the host forbids memory for generated code
	// (SELinux, seccomp), a machine with the translator falls back to the interpreter, and says so once on Log.
	Engine string
	// JIT is settings of the translator, NAME=VALUE with commas between: tier (auto, baseline, optimized: what is done with hot code), mirror
	// (auto, off, always: which address spaces the host's processor translates), keep (on, off: whether Keep is used), code (MiB of code memory), block, region, every,
	// warm, threshold. Each has a measured default.
	JIT string
	// Keep is a folder in which the translator keeps what it has made from one run to the next, so that a machine that boots the same kernel and runs the same
	// programs again starts faster. It is made if it is not there, holds at most 512 MiB between runs, and may be removed at any time. Guest code is in it, for its user alone to read. Where it cannot
	// be used, nothing is kept. Default: none.
	Keep string

	// Disks appear as virtio block devices, in order.
	Disks []Disk
	// Files are put into the initial RAM file system.
	Files []File

	// Guest is a distribution to boot: used when Kernel is empty, and for the user space that runs Command or a shell when
	// Initrd is empty.
	Guest *Guest
	// Command runs in the guest instead of an interactive shell, with Stdin, Stdout and Stderr; its exit status becomes Run's.
	Command []string

	// Stdin feeds Command, or the console when there is no Command. Its end is Command's, and ends Guest's shell as Ctrl-D does; another guest's
	// console has no end. Nil is an empty input for Command, and for the console one that is silent. It is read some way ahead of the guest, and a
	// Read that blocks is left behind when the machine ends.
	Stdin io.Reader
	// Stdout receives Command's output, or the console's. One goroutine at a time writes to it, even when it is also Stderr or
	// KernelLog.
	Stdout io.Writer
	// Stderr receives Command's standard error.
	Stderr io.Writer
	// KernelLog receives the serial console when Command runs. Nil keeps only the last lines, for error messages.
	KernelLog io.Writer

	// NoReboot makes a reboot request of the guest end the machine.
	NoReboot bool
	// Log receives what the machine has to say of itself. Default: discarded.
	Log *slog.Logger

	// Stats lets the translator count loads and stores, hits of its TLB among them, for Machine.Stats. That costs speed; the other figures are there
	// without it.
	Stats bool
	// PerfMap writes /tmp/perf-PID.map, where Linux perf finds names for generated code: "guest SYMBOL+OFFSET (PHYSICAL ADDRESS)". The
	// file stays. It is for one machine of a process, and needs the translator.
	PerfMap bool
	// Symbols name guest addresses in PerfMap and DumpCode, beside those of Kernel and Bios where these are ELF files.
	Symbols []Symbols
	// DumpCode lists translations of both tiers as they are made: guest instructions, intermediate form and host code. It needs the translator.
	DumpCode *DumpCode
}

// Symbols is a file of symbols.
type Symbols struct {
	Path string // an ELF file, or what a guest's /proc/kallsyms or a System.map says
	// Loaded is where an ELF file's first segment is in the guest's virtual memory. Default: where it was linked. A program's addresses are
	// taken for those of every process that has no other name for them.
	Loaded uint64
}

// DumpCode says which translations to list.
type DumpCode struct {
	At  []uint64  // those with an instruction at one of these guest addresses, virtual or physical
	All bool      // every one; after a thousand there are no more listings in any case
	To  io.Writer // receives the listings, each in one Write
}

// Disk is one disk image.
type Disk struct {
	Path     string
	Format   string // "raw", "qcow2" or "memory"; "" is qcow2 where Path ends in .qcow2, and raw otherwise, whatever the file begins with
	ReadOnly bool
	Snapshot bool   // writes are discarded when the machine ends
	Cache    string // "writeback" (the default), "writethrough", "none" or "unsafe": what the host may keep back of writes
	Size     int64  // of a disk in memory, bytes
	Sector   int    // logical sector in bytes, 512 or 4096; 0 is what the image was made for, or 512
	MMIO     bool   // on virtio-mmio instead of PCI
	Queues   int    // request queues, of which the guest uses one a hart: 1 to 64; default one for each of CPUs
	Limits   DiskLimits
}

// File puts a host file or folder into the guest.
type File struct {
	Host  string
	Guest string // absolute path; default "/" and the host file's base name
}

// Guest is a bootable user space: what `vm image pull` provides.
type Guest struct {
	Name    string
	Kernel  string   // path of the kernel
	Busybox string   // path of a static busybox for riscv64
	Modules []Module // what the kernel may need, each after its dependencies; a machine takes those it may have a use for
}

// Module is one module of a guest's kernel.
type Module struct {
	Name string   // as the kernel calls it: virtio_blk
	Path string   // of the .ko file, not compressed
	Deps []string // names of the modules that must be loaded before, all of them earlier in the list
	// Aliases are the names besides its own by which the kernel asks for it: fs-ext4 when an ext4 file system is mounted.
	Aliases []string
}
