package peer

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/vmproject/vm/internal/debiandisk"
)

// scripts are what the programs read, named for them.
//
//go:embed programs
var scripts embed.FS

// What the disk has.
const diskSize = "1G"

var packages = []string{"base-files", "bash", "coreutils", "gcc", "libc6-dev", "openssl", "python3", "sqlite3", "xz-utils"}

// Disk returns the image with Debian's programs in dir, which is made if it is not there, with vmCache as debiandisk.Make has it.
func Disk(ctx context.Context, dir, vmCache string) (string, error) {
	return debiandisk.Make(ctx, dir, vmCache, diskSize, packages...)
}

// FindDisk returns the image in dir, or an error that wraps fs.ErrNotExist.
func FindDisk(dir string) (string, error) { return debiandisk.Find(dir, diskSize, packages...) }

// DebianProgram is one of Debian's programs at work. In its commands, @N@ stands for the size; they are words between blanks, without a shell, and are run in /tmp of
// the disk's file system with /bench of the initial one.
type DebianProgram struct {
	Name    string
	Doc     string
	Warm    string // before the clock starts, once in each machine
	Data    bool   // it reads /tmp/data: text of as many bytes as the size is
	Command string // what is timed
	Check   string // what prints more of the answer afterwards; may be empty
	Full    Amount
	Small   Amount
}

// Amount is a size with the answer that belongs to it: all that command and check print, lines joined by blanks.
type Amount struct {
	Size   int
	Answer string
}

// DebianPrograms are all of them.
var DebianPrograms = []DebianProgram{
	{
		Name: "gcc", Doc: "gcc -O2 compiles and links a generated file of C", Warm: "gcc -O2 -o /tmp/small /bench/small.c",
		Command: "gcc -O2 -o /tmp/generated /bench/gcc.c", Check: "/tmp/generated",
		Full: Amount{200, "2700569930 3952058382 28"}, Small: Amount{20, "3158512851 3399232506 49"},
	},
	{
		Name: "python3", Doc: "Python: dictionaries, classes, sorting, JSON, regular expressions, large integers", Warm: "python3 -c 0",
		Command: "python3 /bench/python3.py",
		Full:    Amount{4, "6fec0eb057c8c627d5f209459221c289"}, Small: Amount{1, "9678a7c2eb72c934be18d7ef1846af0d"},
	},
	{
		Name: "sqlite3", Doc: "SQLite, in memory: inserts, indexes, updates, joins", Warm: "sqlite3 :memory: .quit",
		Command: "sqlite3 -batch -init /bench/sqlite3.sql :memory: .quit",
		Full:    Amount{30000, "memory 27271|136456072|item-9999 2475105912 272360445 1290"},
		Small:   Amount{3000, "memory 2730|13632473|item-999 247149785 26611838 104"},
	},
	{
		Name: "xz", Doc: "xz packs text; what it made is unpacked and compared", Data: true,
		Command: "xz -k -f /tmp/data", Check: "bash /bench/xz.sh",
		Full: Amount{1 << 19, "9252deec92e7d7c3"}, Small: Amount{1 << 16, "eba9d95b643344fc"},
	},
	{
		Name: "openssl", Doc: "OpenSSL: SHA-2, SHA-3 and AES over a file", Data: true,
		Command: "bash /bench/openssl.sh",
		Full:    Amount{1 << 24, "46a305cfed1ea25e"}, Small: Amount{1 << 20, "452b40f325e6a2ad"},
	},
	{
		Name: "bash", Doc: "Bash itself, without starting anything: arrays, strings, arithmetic, functions", Warm: "bash -c true",
		Command: "bash /bench/bash.sh",
		Full:    Amount{3000, "1486629416 1000"}, Small: Amount{300, "148953627 300"},
	},
	{
		Name: "bashloop", Doc: "Bash starts programs of coreutils in a loop", Warm: "bash -c true",
		Command: "bash /bench/bashloop.sh",
		Full:    Amount{30, "435"}, Small: Amount{3, "3"},
	},
}

// Fill puts a size in.
func Fill(s string, size int) string { return strings.ReplaceAll(s, "@N@", strconv.Itoa(size)) }

// Files are those of the program that go to /bench, by name.
func (d *DebianProgram) Files(size int) (map[string]string, error) {
	if d.Name == "gcc" {
		return map[string]string{"small.c": "int main(void) { return 0; }\n", "gcc.c": generated(size)}, nil
	}
	files := make(map[string]string)
	for _, ext := range []string{".sh", ".py", ".sql"} {
		text, err := scripts.ReadFile(path.Join("programs", d.Name+ext))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[d.Name+ext] = Fill(string(text), size)
	}
	return files, nil
}

// Text is size bytes of text, or some more, that compresses as text does.
func Text(size int) []byte {
	state := uint64(88172645463325252)
	next := func() uint64 { // xorshift
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return state
	}
	var words [512]string
	for i := range words {
		word := make([]byte, 2+next()%9)
		for j := range word {
			word[j] = byte('a' + next()%26)
		}
		words[i] = string(word)
	}
	var b bytes.Buffer
	for b.Len() < size {
		r := next()
		b.WriteString(words[(r&511)*(r>>9&511)/512]) // early words are frequent
		if r>>20%11 == 0 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.Bytes()
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
