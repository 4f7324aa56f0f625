package main

// The plan: what is measured, how much of it, and what must come out. Sizes are such that QEMU 7.2 takes about a second on the
// machine this was written on.

import (
	"embed"
	"errors"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/bench/peer"
)

// sources are the guest's.
//
//go:embed guest
var sources embed.FS

// group is a line of the promise: work of one kind, and how much faster than QEMU it has to be.
type group struct {
	title      string
	floor      float64
	benchmarks []*benchmark
}

// kind says how a benchmark is run.
type kind int

const (
	ownProgram  kind = iota // guest/work.c and its neighbours, or busybox
	debian                  // Debian's programs, from the disk
	bootWall                // from the start of the machine's process to the first instruction of init, by the host's clock
	bootClock               // from the start of the kernel's clock to the same, by the guest's
	commandWall             // the whole of `vm run -- true`
)

// benchmark is one row. In its commands and its script, @N@ stands for the size.
type benchmark struct {
	name   string
	kind   kind
	size   int
	answer string // what command and check print; empty when boot is all there is

	setup, command, check string // words between blanks; no shell
	program               *peer.DebianProgram
}

// amount is a size with the answer that belongs to it, as peer.Amount.
type amount struct {
	size   int
	answer string
}

// plan returns all benchmarks, with a tenth of the work when quick.
func plan(quick bool) []group {
	pick := func(full, small amount) amount {
		if quick {
			return small
		}
		return full
	}
	own := func(name string, full, small amount) *benchmark {
		a := pick(full, small)
		return &benchmark{name: name, kind: ownProgram, size: a.size, answer: a.answer, command: "/bench/work " + name + " @N@"}
	}
	program := func(name string) *benchmark {
		i := slices.IndexFunc(peer.DebianPrograms, func(d peer.DebianProgram) bool { return d.Name == name })
		d := &peer.DebianPrograms[i]
		a := pick(amount{d.Full.Size, d.Full.Answer}, amount{d.Small.Size, d.Small.Answer})
		warm := d.Warm
		if d.Data {
			warm = "/bench/work data @N@ /tmp/data"
		}
		return &benchmark{name: name, kind: debian, program: d, size: a.size, answer: a.answer, setup: warm, command: d.Command, check: d.Check}
	}
	shell := own("shell", amount{80, "3160"}, amount{8, "28"})
	shell.command = "/bin/busybox sh /bench/shell.sh"
	return []group{
		{"integer loops", 3.5, []*benchmark{
			own("sort", amount{25, "4034e78144c4cc00"}, amount{2, "392785f8d5c32f1c"}),
			own("sha256", amount{60, "a64d64507db97c4d"}, amount{6, "b51f939667db91fc"}),
			own("sieve", amount{20, "00000000005a50dc"}, amount{2, "0000000000090816"}),
			own("intmatrix", amount{250, "cd300b57b34c2eaf"}, amount{25, "ed9e3fc256a110f4"}),
			own("core", amount{20000, "37d0f13a014f5b89"}, amount{2000, "23078058705096ce"}),
		}},
		{"double-precision loops", 8, []*benchmark{
			own("nbody", amount{600, "17b43129a795fe7b"}, amount{60, "dcb4278184de1ba7"}),
			own("mandelbrot", amount{6000, "07c586f99be90efe"}, amount{600, "3322f8bdc02e8cfe"}),
			own("matmul", amount{40, "9654a07742a65256"}, amount{4, "97d535cc1efaf027"}),
		}},
		{"indirect jumps, recursive calls", 5, []*benchmark{
			own("bytecode", amount{3, "6579580ac009feb2"}, amount{1, "af2f5ff4c6da382e"}),
			own("fib", amount{38, "0000000002547029"}, amount{33, "000000000035c7e2"}),
			own("ackermann", amount{11, "0000000000003ffd"}, amount{9, "0000000000000ffd"}),
		}},
		{"memory in order", 3, []*benchmark{
			own("memcpy", amount{4000, "2e6c933cb68c9400"}, amount{400, "877b3c1f6493cad1"}),
			own("read8", amount{6000, "3f62842ae2dc2f26"}, amount{600, "664697ae23775292"}),
			own("write8", amount{8000, "5b6ef677feb15c56"}, amount{800, "adf0b454d8a85fb6"}),
		}},
		{"the kernel's services", 3, []*benchmark{
			own("getppid", amount{1500, "000000000016e360"}, amount{150, "00000000000249f0"}),
			own("clock", amount{8000, "00000000007a1200"}, amount{800, "00000000000c3500"}),
			own("pagefault", amount{10, "000000000000a000"}, amount{1, "0000000000001000"}),
			own("pipe", amount{10, "085118d4b2bc6bc0"}, amount{1, "447e5890aa765e60"}),
		}},
		{"processes", 5, []*benchmark{
			own("forkexec", amount{200, "00000000000000c8"}, amount{20, "0000000000000014"}),
			shell,
			program("bashloop"),
		}},
		{"Debian's programs", 4, []*benchmark{
			program("gcc"), program("python3"), program("sqlite3"), program("xz"), program("openssl"), program("bash"),
		}},
		{"boot", 2.5, []*benchmark{
			{name: "boot-to-init", kind: bootWall},
			{name: "kernel-to-init", kind: bootClock},
			{name: "run-true", kind: commandWall},
		}},
	}
}

// selected keeps what matches.
func selected(groups []group, run *regexp.Regexp) []group {
	var out []group
	for _, g := range groups {
		var keep []*benchmark
		for _, b := range g.benchmarks {
			if run.MatchString(b.name) {
				keep = append(keep, b)
			}
		}
		if g.benchmarks = keep; len(keep) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// benchmarks lists all of them, in order.
func benchmarks(groups []group) []*benchmark {
	var out []*benchmark
	for _, g := range groups {
		out = append(out, g.benchmarks...)
	}
	return out
}

func (b *benchmark) fill(s string) string { return peer.Fill(s, b.size) }

// line is the benchmark in the form of guest/init.c's /bench/list.
func (b *benchmark) line() string {
	root := "/"
	if b.kind == debian {
		root = "/mnt"
	}
	return strings.Join([]string{b.name, root, b.fill(b.setup), b.fill(b.command), b.fill(b.check)}, "\t") + "\n"
}

// inputs are the files that the benchmarks read, by name in /bench.
func inputs(benchmarks []*benchmark) (map[string]string, error) {
	files := make(map[string]string)
	for _, b := range benchmarks {
		if b.program != nil {
			theirs, err := b.program.Files(b.size)
			if err != nil {
				return nil, err
			}
			maps.Copy(files, theirs)
		}
		text, err := sources.ReadFile(path.Join("guest", b.name+".sh"))
		switch {
		case err == nil:
			files[b.name+".sh"] = b.fill(string(text))
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return files, nil
}
