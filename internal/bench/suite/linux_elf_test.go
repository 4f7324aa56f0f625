package suite

import (
	"bytes"
	"debug/elf"
	"testing"
)

// Go's own reader finds what Linux is to load.
func TestELF(t *testing.T) {
	code := []byte{1, 2, 3, 4}
	text, err := elfFile(code)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || f.Machine != elf.EM_RISCV || f.Entry != elfBase+elfHeaders || len(f.Progs) != 1 {
		t.Fatalf("%+v", f)
	}
	p := f.Progs[0]
	loaded := make([]byte, p.Filesz)
	if _, err := p.ReadAt(loaded, 0); err != nil {
		t.Fatal(err)
	}
	if got := loaded[f.Entry-p.Vaddr:]; !bytes.Equal(got, code) || p.Off%p.Align != p.Vaddr%p.Align || p.Flags != elf.PF_R|elf.PF_X {
		t.Errorf("%v at the entry; %+v", got, p)
	}
}
