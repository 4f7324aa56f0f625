// Package symbols names guest addresses, for people who look at generated code: by the symbol tables of ELF files, or by the
// text that Linux has in /proc/kallsyms and System.map.
package symbols

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxFile bounds a file in bytes: a kernel with debug information has a few hundred million.
const maxFile = 2 << 30

// Table is a set of symbols. It may be read from any goroutine once nothing is added.
type Table struct {
	list []symbol
}

// symbol is a name for the bytes from at up to end.
type symbol struct {
	at, end uint64
	name    string
}

// Add reads a file. loaded is where an ELF file is in the guest's virtual memory: the address of its first segment; 0: where it was
// linked.
func (t *Table) Add(path string, loaded uint64) error {
	if err := t.add(path, loaded); err != nil {
		return fmt.Errorf("symbols of %s: %w", path, err)
	}
	return nil
}

func (t *Table) add(path string, loaded uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return unwrapPath(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return fmt.Errorf("it is not a regular file of at most %d MiB", maxFile>>20)
	}
	head := make([]byte, len(elf.ELFMAG))
	n, _ := f.ReadAt(head, 0) // a short file is no ELF file
	if bytes.Equal(head[:n], []byte(elf.ELFMAG)) {
		return t.addELF(f, loaded)
	}
	if loaded != 0 {
		return errors.New("an address is for ELF files: a list of symbols has its own")
	}
	return t.addText(f)
}

// unwrapPath leaves out the path that the message has already.
func unwrapPath(err error) error {
	if p := new(os.PathError); errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (t *Table) addELF(r io.ReaderAt, loaded uint64) error {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("damaged ELF file: %w", err)
	}
	if f.Machine != elf.EM_RISCV || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("it is an ELF file for %v, %v: one for 64-bit RISC-V is needed", f.Machine, f.Class)
	}
	list, err := f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		list, err = f.DynamicSymbols() // of a shared library that was stripped
	}
	if errors.Is(err, elf.ErrNoSymbols) {
		return errors.New("it has no symbols: it was stripped")
	}
	if err != nil {
		return fmt.Errorf("damaged symbol table: %w", err)
	}
	low, shift := ^uint64(0), uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			low = min(low, p.Vaddr)
		}
	}
	if loaded != 0 && low != ^uint64(0) {
		shift = loaded - low
	}
	var found []symbol
	for _, s := range list {
		typ := elf.ST_TYPE(s.Info)
		code := typ == elf.STT_FUNC || typ == elf.STT_NOTYPE
		// $x and .L are the assembler's own.
		if !code || s.Name == "" || strings.HasPrefix(s.Name, "$") || strings.HasPrefix(s.Name, ".L") || s.Section == elf.SHN_UNDEF || s.Section == elf.SHN_ABS {
			continue
		}
		end := uint64(0)
		if s.Size != 0 {
			end = s.Value + s.Size + shift
		}
		found = append(found, symbol{s.Value + shift, end, s.Name})
	}
	if len(found) == 0 {
		return errors.New("it has no symbols of code")
	}
	t.take(found)
	return nil
}

// addText reads lines of "ADDRESS TYPE NAME [MODULE]".
func (t *Table) addText(r io.Reader) error {
	var found []symbol
	zero := true
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if len(words) < 3 || len(words[1]) != 1 {
			return fmt.Errorf("line %d: neither an ELF file nor a list of symbols as in /proc/kallsyms", n)
		}
		at, err := strconv.ParseUint(words[0], 16, 64)
		if err != nil {
			return fmt.Errorf("line %d: neither an ELF file nor a list of symbols as in /proc/kallsyms", n)
		}
		zero = zero && at == 0
		if strings.ContainsAny(words[1], "tTwW") && !strings.HasPrefix(words[2], "$") {
			found = append(found, symbol{at: at, name: words[2]})
		}
	}
	switch {
	case errors.Is(lines.Err(), bufio.ErrTooLong):
		return errors.New("neither an ELF file nor a list of symbols as in /proc/kallsyms")
	case lines.Err() != nil:
		return unwrapPath(lines.Err())
	case len(found) == 0:
		return errors.New("it has no symbols of code")
	case zero:
		return errors.New("all addresses are 0: only root may read them from /proc/kallsyms")
	}
	t.take(found)
	return nil
}

// maxGuess bounds a symbol of unknown size that nothing follows, in bytes.
const maxGuess = 64 << 10

// take adds the symbols of one file. One that does not say its size reaches up to the next.
func (t *Table) take(found []symbol) {
	slices.SortStableFunc(found, func(a, b symbol) int { return cmp.Compare(a.at, b.at) })
	next := uint64(0)
	for i := len(found) - 1; i >= 0; i-- {
		s := &found[i]
		if i+1 < len(found) && found[i+1].at != s.at {
			next = found[i+1].at
		}
		if s.end == 0 {
			s.end = s.at + maxGuess
			if next > s.at {
				s.end = min(s.end, next)
			}
		}
	}
	t.list = append(t.list, found...)
	slices.SortStableFunc(t.list, func(a, b symbol) int { return cmp.Compare(a.at, b.at) })
}

// maxNested bounds how many symbols a look-up goes back.
const maxNested = 16

// Lookup names an address: "memcpy", or "memcpy+0x10" in the midst of it. Of several symbols the one that begins last counts, and of those the
// one that was added first.
func (t *Table) Lookup(at uint64) (string, bool) {
	i, found := slices.BinarySearchFunc(t.list, at, func(s symbol, at uint64) int { return cmp.Compare(s.at, at) })
	if !found {
		i--
	}
	// Symbols may lie within others: a few steps back find the outer one.
	var best *symbol
	for end := max(i-maxNested, -1); i > end; i-- {
		s := &t.list[i]
		if best != nil && s.at != best.at {
			break
		}
		if at < s.end {
			best = s
		}
	}
	switch {
	case best == nil:
		return "", false
	case at == best.at:
		return best.name, true
	}
	return fmt.Sprintf("%s+%#x", best.name, at-best.at), true
}

// Len is the number of symbols.
func (t *Table) Len() int { return len(t.list) }
