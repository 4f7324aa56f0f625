package riscv

// The disassembler, for logs, test failures and debug output: ABI register names, no pseudo-instructions, and the syntax
// of GNU objdump -M no-aliases but for blanks after commas. The syntax string of a format is copied word by word, each
// word of the list in appendOperand replaced by the operand it stands for.

import (
	"strconv"
	"strings"
)

var intNames = [32]string{
	"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
	"a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
}

var floatNames = [32]string{
	"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
	"fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
}

var roundingNames = [8]string{"rne", "rtz", "rdn", "rup", "rmm", "5", "6", "dyn"}

var orderNames = [4]string{"", ".rl", ".aq", ".aqrl"}

// fliNames are the constants of fli.* by their index (Unprivileged, "Zfa", Table 47).
var fliNames = [32]string{
	"-1.0", "min", "0x1p-16", "0x1p-15", "0x1p-8", "0x1p-7", "0.0625", "0.125", "0.25", "0.3125", "0.375", "0.4375",
	"0.5", "0.625", "0.75", "0.875", "1.0", "1.25", "1.5", "1.75", "2.0", "2.5", "3.0", "4.0", "8.0", "16.0", "128.0",
	"256.0", "0x1p15", "0x1p16", "inf", "nan",
}

// RegName returns the ABI name of integer register n (0..31).
func RegName(n uint8) string { return intNames[n&31] }

// FRegName returns the ABI name of floating-point register n (0..31).
func FRegName(n uint8) string { return floatNames[n&31] }

func (c RegClass) name(n uint8) string {
	switch c {
	case IntReg:
		return RegName(n)
	case FloatReg:
		return FRegName(n)
	}
	return strconv.Itoa(int(n))
}

// String disassembles i with branch targets written relative to it (".+8").
func (i Inst) String() string { return string(appendInst(nil, i, 0, false)) }

// Disassemble writes i in assembly, with branch targets as the addresses they have when i is at pc.
func Disassemble(i Inst, pc uint64) string { return string(appendInst(nil, i, pc, true)) }

func appendInst(b []byte, i Inst, pc uint64, absolute bool) []byte {
	if name, ok := hintName(i); ok {
		return append(b, name...)
	}
	spec := i.Op.Spec()
	format := &formats[spec.Format]
	switch i.Op {
	case ILLEGAL:
		return appendIllegal(b, i)
	case MOP_R_N, MOP_RR_N, C_MOP_N:
		b = append(b, strings.TrimSuffix(spec.Name, "n")...)
		b = strconv.AppendInt(b, int64(i.Imm), 10)
	default:
		b = append(b, spec.Name...)
	}
	if format.rm == rmAqRl {
		b = append(b, orderNames[i.Rm&3]...)
	}

	syntax := format.syntax
	if i.Op == C_NOP && i.Imm == 0 {
		syntax = ""
	}
	if format.rm == rmFloat && i.Rm == 7 {
		syntax = strings.TrimSuffix(syntax, ", rm") // the dynamic mode is the default one
	}
	if i.Rm == 0 && exactConversion(i.Op) {
		syntax = strings.TrimSuffix(syntax, ", rm")
	}
	if syntax != "" {
		b = append(b, ' ')
	}
	for syntax != "" {
		n := 0
		for n < len(syntax) && ('a' <= syntax[n] && syntax[n] <= 'z' || '0' <= syntax[n] && syntax[n] <= '9') {
			n++
		}
		if n == 0 {
			b = append(b, syntax[0])
			n = 1
		} else {
			b = appendOperand(b, syntax[:n], i, format, pc, absolute)
		}
		syntax = syntax[n:]
	}
	return b
}

// exactConversion names the conversions that never round: assemblers write rne into them.
func exactConversion(op Op) bool {
	switch op {
	case FCVT_D_W, FCVT_D_WU, FCVT_D_S, FCVT_S_H, FCVT_D_H:
		return true
	}
	return false
}

func appendOperand(b []byte, word string, i Inst, f *format, pc uint64, absolute bool) []byte {
	switch word {
	case "rd":
		return append(b, f.rd.class.name(i.Rd)...)
	case "rs1":
		return append(b, f.rs1.class.name(i.Rs1)...)
	case "rs2":
		return append(b, f.rs2.class.name(i.Rs2)...)
	case "rs3":
		return append(b, f.rs3.class.name(i.Rs3)...)
	case "imm":
		return strconv.AppendInt(b, int64(i.Imm), 10)
	case "shamt":
		return appendHex(b, uint64(i.Imm))
	case "upper": // of lui and auipc: the 20 bits as assembly takes them
		return appendHex(b, uint64(uint32(i.Imm)>>12))
	case "target":
		if absolute {
			return appendHex(b, pc+uint64(int64(i.Imm)))
		}
		b = append(b, '.')
		if i.Imm >= 0 {
			b = append(b, '+')
		}
		return strconv.AppendInt(b, int64(i.Imm), 10)
	case "csr":
		return append(b, CSRName(uint16(i.Imm))...)
	case "pred":
		return appendFenceSet(b, i.Imm>>4)
	case "succ":
		return appendFenceSet(b, i.Imm)
	case "rm":
		return append(b, roundingNames[i.Rm&7]...)
	case "fli":
		return append(b, fliNames[i.Rs1&31]...)
	}
	return append(b, word...) // a word that is itself: rtz
}

// appendFenceSet writes the low four bits of set as fence does: some of "iorw", or "unknown" for none.
func appendFenceSet(b []byte, set int32) []byte {
	if set&15 == 0 {
		return append(b, "unknown"...)
	}
	for n, c := range []byte("iorw") {
		if set&(8>>n) != 0 {
			b = append(b, c)
		}
	}
	return b
}

func appendIllegal(b []byte, i Inst) []byte {
	directive, digits := ".word 0x", 8
	if i.Len == 2 {
		directive, digits = ".half 0x", 4
	}
	b = append(b, directive...)
	for n := digits - 1; n >= 0; n-- {
		b = append(b, "0123456789abcdef"[uint32(i.Imm)>>(4*n)&15])
	}
	return b
}

func appendHex(b []byte, v uint64) []byte { return strconv.AppendUint(append(b, "0x"...), v, 16) }

// hintName names the encodings that are ordinary instructions to the decoder but have a mnemonic of their own: fence.tso,
// pause (Zihintpause) and the non-temporal locality hints (Zihintntl).
func hintName(i Inst) (string, bool) {
	switch {
	case i.Op == FENCE && i.Rd == 0 && i.Rs1 == 0 && i.Imm == 0x833:
		return "fence.tso", true
	case i.Op == FENCE && i.Rd == 0 && i.Rs1 == 0 && i.Imm == 0x010:
		return "pause", true
	case i.Op == ADD && i.Rd == 0 && i.Rs1 == 0 && 2 <= i.Rs2 && i.Rs2 <= 5:
		return ntlNames[i.Rs2-2], true
	case i.Op == C_ADD && i.Rd == 0 && i.Rs1 == 0 && 2 <= i.Rs2 && i.Rs2 <= 5:
		return "c." + ntlNames[i.Rs2-2], true
	}
	return "", false
}

var ntlNames = [4]string{"ntl.p1", "ntl.pall", "ntl.s1", "ntl.all"}
