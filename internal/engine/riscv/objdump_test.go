package riscv

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/testtool"
)

// The table against another reader of the same manuals: GNU objdump (binutils 2.40 of Debian 12, and later). Encodings go
// in as .insn directives, so that objdump takes them for code, and its text must equal Disassemble's.

// objdumpArch names what binutils 2.40 knows of the machine's extensions.
const objdumpArch = "rv64gc_zba_zbb_zbc_zbs_zicbom_zicbop_zicboz_zawrs_zihintpause_zfhmin_svinval_zicsr_zifencei"

// notInObjdump are the extensions that came to binutils after 2.40.
var notInObjdump = map[Ext]bool{
	ExtZicond: true, ExtZfa: true, ExtZcb: true, ExtZacas: true, ExtZimop: true, ExtZcmop: true,
}

// objdump returns what GNU objdump says of each encoding: the text, or "" where it knows none.
func objdump(t *testing.T, encodings []uint32) []string {
	t.Helper()
	for _, tool := range []string{"riscv64-linux-gnu-as", "riscv64-linux-gnu-objdump"} {
		testtool.Find(t, tool, "binutils-riscv64-linux-gnu")
	}
	var source bytes.Buffer
	fmt.Fprintf(&source, ".attribute arch, %q\n", objdumpArch)
	for _, raw := range encodings {
		fmt.Fprintf(&source, ".insn %#x\n", raw)
	}
	dir := t.TempDir()
	in, object := filepath.Join(dir, "in.s"), filepath.Join(dir, "in.o")
	if err := os.WriteFile(in, source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("riscv64-linux-gnu-as", "-o", object, in).CombinedOutput(); err != nil {
		t.Fatalf("as: %v\n%s", err, out)
	}
	out, err := exec.Command("riscv64-linux-gnu-objdump", "-d", "-z", "-M", "no-aliases", object).Output()
	if err != nil {
		t.Fatalf("objdump: %v", err)
	}
	var texts []string
	line := regexp.MustCompile(`^ *[0-9a-f]+:\t[0-9a-f]+ *\t(.*)$`)
	for _, l := range strings.Split(string(out), "\n") {
		if m := line.FindStringSubmatch(l); m != nil {
			texts = append(texts, m[1])
		}
	}
	if len(texts) < len(encodings) {
		t.Fatalf("objdump wrote %d lines for %d instructions", len(texts), len(encodings))
	}
	return texts[:len(encodings)] // as may pad the section
}

// branchTarget is how objdump writes one: in hexadecimal without a prefix, and again from a symbol.
var branchTarget = regexp.MustCompile(`([0-9a-f]+) <.*>$`)

// ntl names what binutils 2.40 takes for additions, as such.
var ntl = map[string]string{
	"ntl.p1": "add zero,zero,sp", "ntl.pall": "add zero,zero,gp", "ntl.s1": "add zero,zero,tp", "ntl.all": "add zero,zero,t0",
	"c.ntl.p1": "c.add zero,sp", "c.ntl.pall": "c.add zero,gp", "c.ntl.s1": "c.add zero,tp", "c.ntl.all": "c.add zero,t0",
}

// normalise takes out of a line of assembly what is a matter of taste: blanks, comments, symbols, and the base of numbers.
func normalise(text string) string {
	text, _, _ = strings.Cut(text, " #")
	text = branchTarget.ReplaceAllString(text, "0x$1")
	if add, ok := ntl[text]; ok {
		return add
	}
	mnemonic, operands, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, "\t", " ")), " ")
	switch mnemonic {
	case ".2byte", ".4byte", ".half", ".word", "c.unimp", "unimp":
		return "illegal"
	case "c.slli64", "c.srli64", "c.srai64": // the shifts by 0
		mnemonic, operands = mnemonic[:6], operands+",0"
	case "c.nop": // with an immediate, to objdump: c.addi
		mnemonic, operands = "c.addi", "zero,"+cmp.Or(operands, "0")
	}
	operands = strings.ReplaceAll(operands, " ", "")
	operands = regexp.MustCompile(`\b(0x)?[0-9a-f]+\b`).ReplaceAllStringFunc(operands, func(n string) string {
		if v, err := strconv.ParseUint(n, 0, 64); err == nil {
			return strconv.FormatUint(v, 10)
		}
		return n
	})
	return mnemonic + " " + operands
}

func TestAgreesWithObjdump(t *testing.T) {
	each := 100
	random := rand.New(rand.NewPCG(5, 6))
	var encodings []uint32
	var skipped []string
	for op := Op(1); int(op) < NumOps; op++ {
		s := op.Spec()
		if notInObjdump[s.Ext] {
			skipped = append(skipped, s.Name)
			continue
		}
		for range each {
			raw := s.Match | random.Uint32()&^s.Mask
			if op.Compressed() {
				raw &= 0xffff
			}
			switch {
			case op == FENCE: // objdump takes the reserved fields for reserved
				raw &= 0x0ff0707f
			case op == FENCE_I:
				raw &= 0x0000707f
			case exactConversion(op): // exact, whatever the mode: objdump knows one
				raw &^= 0x7000
			}
			i := Decode(raw)
			if s.Ext == ExtZicsr && strings.HasPrefix(CSRName(uint16(i.Imm)), "0x") {
				continue // objdump has names of RV32 and of older drafts
			}
			if i.Op == op {
				encodings = append(encodings, raw)
			}
		}
	}
	t.Logf("not known to binutils 2.40, so not compared: %s", strings.Join(skipped, " "))
	compareWithObjdump(t, encodings)
}

func TestEvery16BitPatternAgreesWithObjdump(t *testing.T) {
	var encodings []uint32
	for raw := range uint32(1 << 16) {
		// objdump shows c.addi16sp with the reserved immediate 0.
		if i := Decode(raw); raw&3 != 3 && !notInObjdump[i.Op.Spec().Ext] && raw != 0x6101 {
			encodings = append(encodings, raw)
		}
	}
	compareWithObjdump(t, encodings)
}

func compareWithObjdump(t *testing.T, encodings []uint32) {
	pc := uint64(0)
	wrong := 0
	for n, theirs := range objdump(t, encodings) {
		i := Decode(encodings[n])
		ours := Disassemble(i, pc)
		pc += uint64(i.Len)
		if normalise(ours) == normalise(theirs) {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("%#x: we say %q, objdump says %q", encodings[n], ours, theirs)
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d differ", wrong, len(encodings))
	}
}
