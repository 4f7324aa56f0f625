package main

// The plan: what is measured, how much of it, and what must come out. Sizes are such that QEMU 7.2 takes about a second on the
// machine this was written on.

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// sources are the guest's: C, and the scripts for Debian's programs.
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
}

// amount is a size with the answer that belongs to it.
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
	program := func(name, warm, command, check string, full, small amount) *benchmark {
		a := pick(full, small)
		return &benchmark{name: name, kind: debian, size: a.size, answer: a.answer, setup: warm, command: command, check: check}
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
			program("bashloop", "bash -c true", "bash /bench/bashloop.sh", "", amount{30, "435"}, amount{3, "3"}),
		}},
		{"Debian's programs", 4, []*benchmark{
			program("gcc", "gcc -O2 -o /tmp/small /bench/small.c", "gcc -O2 -o /tmp/generated /bench/gcc.c", "/tmp/generated",
				amount{200, "2700569930 3952058382 28"}, amount{20, "3158512851 3399232506 49"}),
			program("python3", "python3 -c 0", "python3 /bench/python3.py", "",
				amount{4, "6fec0eb057c8c627d5f209459221c289"}, amount{1, "9678a7c2eb72c934be18d7ef1846af0d"}),
			program("sqlite3", "sqlite3 :memory: .quit", "sqlite3 -batch -init /bench/sqlite3.sql :memory: .quit", "",
				amount{30000, "memory 27271|136456072|item-9999 2475105912 272360445 1290"}, amount{3000, "memory 2730|13632473|item-999 247149785 26611838 104"}),
			program("xz", "/bench/work data @N@ /tmp/data", "xz -k -f /tmp/data", "bash /bench/xz.sh",
				amount{1 << 19, "9252deec92e7d7c3"}, amount{1 << 16, "eba9d95b643344fc"}),
			program("openssl", "/bench/work data @N@ /tmp/data", "bash /bench/openssl.sh", "",
				amount{1 << 24, "46a305cfed1ea25e"}, amount{1 << 20, "452b40f325e6a2ad"}),
			program("bash", "bash -c true", "bash /bench/bash.sh", "", amount{3000, "1486629416 1000"}, amount{300, "148953627 300"}),
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

func (b *benchmark) fill(s string) string { return strings.ReplaceAll(s, "@N@", strconv.Itoa(b.size)) }

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
	files := map[string]string{"small.c": "int main(void) { return 0; }\n"}
	entries, err := sources.ReadDir("guest")
	if err != nil {
		return nil, err
	}
	for _, b := range benchmarks {
		if b.name == "gcc" {
			files["gcc.c"] = generated(b.size)
			continue
		}
		for _, e := range entries {
			ext := path.Ext(e.Name())
			if e.Name() != b.name+ext || ext == ".c" {
				continue
			}
			text, err := sources.ReadFile(path.Join("guest", e.Name()))
			if err != nil {
				return nil, err
			}
			files[e.Name()] = b.fill(string(text))
		}
	}
	return files, nil
}

// generated is a C file of n functions, with loops, arrays, structures, switches and calls among them, that prints one number.
func generated(n int) string {
	var b strings.Builder
	b.WriteString("#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n\nstruct state { uint32_t a, b; int16_t table[64]; char text[32]; };\n\n")
	for i := range n {
		fmt.Fprintf(&b, `static uint32_t function%[1]d(struct state *s, uint32_t x) {
	uint32_t sum = x * %[2]du + %[1]d;
	for (int i = 0; i < %[3]d; i++) {
		s->table[(i * %[4]d + x) %% 64] += sum >> (i & 15);
		switch ((sum + i) %% 4) {
		case 0: sum += s->a ^ s->table[i & 63]; break;
		case 1: s->b ^= sum %% (%[4]d + i); break;
		case 2: s->text[i & 15] = 'a' + sum %% 26; break;
		default: s->a += sum << 3 | sum >> 29;
		}
	}
	return memchr(s->text, 'a' + %[1]d %% 26, sizeof s->text) ? sum ^ %[2]du : sum;
}

`, i, 2*i+2654435761, 9+i%23, 3+i%41)
	}
	b.WriteString("int main(void) {\n\tstruct state s = {1, 2, {3}, \"enginebench\"};\n\tuint32_t x = 1;\n")
	for i := range n {
		fmt.Fprintf(&b, "\tx = function%d(&s, x);\n", i)
	}
	b.WriteString("\tprintf(\"%u %u %u\\n\", x, s.a, s.b);\n\treturn 0;\n}\n")
	return b.String()
}
