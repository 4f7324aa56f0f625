package asm

// Everything that the assembler can say, read back by two decoders that know nothing of it: golang.org/x/arch and GNU objdump.

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/vmproject/vm/internal/testtool"
)

// instances is how many of each variant a test makes. A row of the table has two variants, or up to eight where it has sizes.
func instances() int {
	if testing.Short() {
		return 50
	}
	return 1000
}

// The decoders are compared with the listing, so the listing must be what the caller asked for: each operand that the method was given, in that
// order, and nothing else.
func TestListingHasOperandsInOrder(t *testing.T) {
	a, o := new(Assembler), newOperands()
	buf := make([]byte, 64)
	var listed Inst
	a.Trace = func(_ int, i Inst) { listed = i }
	for _, v := range variants() {
		for range 20 {
			a.Reset(buf, 0)
			o.made = o.made[:0]
			v.emit(a, o)
			name, args, _ := strings.Cut(strings.TrimPrefix(listed.String(), "lock "), " ")
			printed := strings.FieldsFunc(args, func(r rune) bool { return r == ',' })
			if n := len(o.made); len(printed) == n+1 && printed[n] == "cl" { // a shift by cl
				printed = printed[:n]
			}
			if (name != v.op.String() && v.op != MOVABS) || len(printed) != len(o.made) {
				t.Fatalf("%v %v is listed as %v", v.op, o.made, listed)
			}
			for n, operand := range o.made {
				if !isListedAs(operand, printed[n]) {
					t.Errorf("%v %v is listed as %v", v.op, o.made, listed)
				}
			}
		}
	}
}

// isListedAs tells whether text names operand, a register in any of its sizes, a number as far as the operand's size lets it.
func isListedAs(operand any, text string) bool {
	switch operand := operand.(type) {
	case Reg:
		for size := S8; size <= S64; size++ {
			if regName(uint8(operand), size) == text {
				return true
			}
		}
		return false
	case int64:
		v, err := strconv.ParseUint(text, 0, 64)
		return err == nil && (uint64(operand) == v || uint64(uint32(operand)) == v || uint64(uint16(operand)) == v || uint64(uint8(operand)) == v)
	case Mem:
		return strings.HasSuffix(text, operand.String())
	}
	return fmt.Sprint(operand) == text
}

func TestDecodedByXArch(t *testing.T) {
	code, listing := generate(t, instances())
	wrong := make(map[*form]bool)
	for _, l := range listing {
		if wrong[l.form] {
			continue // one difference a form says enough
		}
		if want, got := l.String(), decodeXArch(code[l.at:l.end]); got != want {
			t.Errorf("% x: asked for %q, decoded %q", code[l.at:l.end], want, got)
			wrong[l.form] = true
		}
	}
	t.Logf("%d instructions of %d variants", len(listing), len(variants()))
}

// decodeXArch decodes one instruction and writes it as Inst.String does.
func decodeXArch(code []byte) string {
	gs := code[0] == gsPrefix // which this decoder does not know before every instruction
	if gs {
		code = code[1:]
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return err.Error()
	}
	if in.Len != len(code) {
		return fmt.Sprintf("%v of %d bytes", in, in.Len)
	}
	name := strings.ToLower(in.Op.String())
	name = strings.TrimSuffix(name, "_xmm")
	var args []string
	size := 0 // of the first operand, which immediates are cut to
	for _, arg := range in.Args {
		switch arg := arg.(type) {
		case x86asm.Reg:
			text, n := xArchReg(arg)
			if len(args) == 0 {
				size = n
			}
			args = append(args, text)
		case x86asm.Mem:
			if len(args) == 0 {
				size = in.MemBytes
			}
			args = append(args, xArchMem(name, arg, in.MemBytes, gs))
		case x86asm.Imm:
			bits := 8 * size
			if size == 16 || byteImmediate[name] {
				bits = 8
			}
			args = append(args, fmt.Sprintf("%#x", uint64(arg)<<(64-bits)>>(64-bits)))
		}
	}
	if in.Op == x86asm.INT && len(code) == 1 {
		return "int3"
	}
	if name == "mov" && len(code) == 10 && code[1]&^7 == 0xB8 {
		name = "movabs"
	}
	if code[0] == 0xF0 {
		name = "lock " + name
	}
	if len(args) == 0 {
		return name
	}
	return name + " " + strings.Join(args, ",")
}

// byteImmediate are the instructions whose immediate is a byte whatever the operands' size.
var byteImmediate = map[string]bool{
	"rol": true, "ror": true, "shl": true, "shr": true, "sar": true, "rorx": true, "bt": true, "bts": true, "btr": true, "btc": true,
	"pextrd": true, "pextrq": true, "vpextrd": true, "vpextrq": true, "vcvtps2ph": true,
}

func xArchReg(r x86asm.Reg) (string, int) {
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return regName(uint8(r-x86asm.AL), S8), 1
	case r >= x86asm.SPB && r <= x86asm.DIB:
		return regName(uint8(r-x86asm.SPB)+4, S8), 1
	case r >= x86asm.R8B && r <= x86asm.R15B:
		return regName(uint8(r-x86asm.R8B)+8, S8), 1
	case r >= x86asm.AX && r <= x86asm.R15W:
		return regName(uint8(r-x86asm.AX), S16), 2
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return regName(uint8(r-x86asm.EAX), S32), 4
	case r >= x86asm.RAX && r <= x86asm.R15:
		return regName(uint8(r-x86asm.RAX), S64), 8
	case r >= x86asm.X0 && r <= x86asm.X15:
		return xmmName(uint8(r - x86asm.X0)), 16
	}
	return r.String(), 0
}

func xArchMem(name string, m x86asm.Mem, bytes int, gs bool) string {
	base, index, scale := uint8(noBase), noIndex, uint8(0)
	if m.Base != 0 {
		base = uint8(m.Base - x86asm.RAX)
	}
	if m.Scale != 0 && m.Index != 0 {
		index, scale = uint8(m.Index-x86asm.RAX), logScale(int(m.Scale))
	}
	size := map[int]string{1: memSizes[0], 2: memSizes[1], 4: memSizes[2], 8: memSizes[3], 16: memSizes[4]}[bytes]
	switch name {
	case "lea":
		size = ""
	case "prefetcht0":
		size = memSizes[S8]
	}
	decoded := mem(base, index, scale, int32(m.Disp))
	if gs {
		decoded = decoded.GS()
	}
	return size + decoded.String()
}

func TestDecodedByObjdump(t *testing.T) {
	objdump := testtool.Find(t, "objdump", "binutils")
	code, listing := generate(t, instances())
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn", "-w", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	wrong := make(map[*form]bool)
	n := 0
	for lines.Scan() {
		offset, text, ok := strings.Cut(lines.Text(), ":\t")
		if !ok {
			continue // a heading
		}
		if n == len(listing) {
			t.Fatalf("objdump goes on: %s", lines.Text())
		}
		l := listing[n]
		n++
		at, err := strconv.ParseInt(strings.TrimSpace(offset), 16, 0)
		if err != nil || int(at) != l.at {
			t.Fatalf("objdump is at %s, expected %x: %s", offset, l.at, l)
		}
		if want, got := l.String(), objdumpText(text); got != want && !wrong[l.form] {
			t.Errorf("% x: asked for %q, decoded %q (%s)", code[l.at:l.end], want, got, text)
			wrong[l.form] = true
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if n != len(listing) {
		t.Errorf("objdump found %d instructions of %d", n, len(listing))
	}
}

// predicates are the names that objdump gives the immediates of cmpss and cmpsd, beyond 7 only with VEX.
var predicates = strings.Fields("eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true " +
	"eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us")

// objdumpText undoes what objdump says in other words.
func objdumpText(s string) string {
	name, args, found := strings.Cut(strings.TrimSpace(s), " ")
	args = strings.TrimSpace(args)
	if name == "lock" {
		return name + " " + objdumpText(args)
	}
	if !found {
		return name
	}
	args = strings.ReplaceAll(args, "+0x0]", "]") // the displacement that rbp, r13 and no base must have
	stem := strings.TrimPrefix(name, "v")
	vex := name[:len(name)-len(stem)]
	switch {
	case strings.HasPrefix(stem, "pclmul") && stem != "pclmulqdq": // pclmullqhqdq
		imm := 0
		if stem[6] == 'h' {
			imm |= 1
		}
		if stem[8] == 'h' {
			imm |= 0x10
		}
		return fmt.Sprintf("%spclmulqdq %s,%#x", vex, args, imm)
	case strings.HasPrefix(stem, "cmp") && (strings.HasSuffix(stem, "ss") || strings.HasSuffix(stem, "sd")) && len(stem) > 5:
		if imm := slices.Index(predicates, stem[3:len(stem)-2]); imm >= 0 {
			return fmt.Sprintf("%scmp%s %s,%#x", vex, stem[len(stem)-2:], args, imm)
		}
	}
	if strings.HasSuffix(args, ",1") { // the shift that says so in its opcode
		args = args[:len(args)-1] + "0x1"
	}
	if name == "cmpxchg16b" {
		args = strings.Replace(args, "OWORD", "XMMWORD", 1)
	}
	return name + " " + args
}
