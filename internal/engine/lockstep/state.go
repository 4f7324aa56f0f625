package lockstep

// The architectural state of a hart as one comparable value, and how two of them differ.

import (
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// comparedCSRs are the registers that are compared by their value as M-mode reads it; views of others (sstatus, sie, sip, fcsr)
// are left out, and so are constants.
var comparedCSRs = [...]uint16{
	riscv.CSRMstatus, riscv.CSRMedeleg, riscv.CSRMideleg, riscv.CSRMie, riscv.CSRMip, riscv.CSRMtvec, riscv.CSRMscratch,
	riscv.CSRMepc, riscv.CSRMcause, riscv.CSRMtval, riscv.CSRMenvcfg, riscv.CSRMcounteren, riscv.CSRMcountinhibit,
	riscv.CSRMcycle, riscv.CSRMinstret,
	riscv.CSRStvec, riscv.CSRSscratch, riscv.CSRSepc, riscv.CSRScause, riscv.CSRStval, riscv.CSRSatp, riscv.CSRSenvcfg,
	riscv.CSRScounteren, riscv.CSRStimecmp, riscv.CSRTime,
	riscv.CSRPmpcfg0, riscv.CSRPmpcfg0 + 2,
	riscv.CSRPmpaddr0, riscv.CSRPmpaddr0 + 1, riscv.CSRPmpaddr0 + 2, riscv.CSRPmpaddr0 + 3,
	riscv.CSRPmpaddr0 + 4, riscv.CSRPmpaddr0 + 5, riscv.CSRPmpaddr0 + 6, riscv.CSRPmpaddr0 + 7,
	riscv.CSRPmpaddr0 + 8, riscv.CSRPmpaddr0 + 9, riscv.CSRPmpaddr0 + 10, riscv.CSRPmpaddr0 + 11,
	riscv.CSRPmpaddr0 + 12, riscv.CSRPmpaddr0 + 13, riscv.CSRPmpaddr0 + 14, riscv.CSRPmpaddr0 + 15,
}

// State is everything about a hart that a program can find out, but for memory, at one instruction boundary.
type State struct {
	X, F                                 [32]uint64
	PC, Priv, Fflags, Frm, Instret       uint64
	ResValid, ResAddr, ResValue, ResSize uint64
	CSR                                  [len(comparedCSRs)]uint64
	FirmwareCause, FirmwareTval, Outside uint64
}

// capture takes the state of s.
func (st *State) capture(s *Side) {
	h := s.Hart
	copy(st.X[:], h.X[:])
	st.F = h.F
	st.PC, st.Priv, st.Fflags, st.Frm, st.Instret = h.PC, h.Priv, h.Fflags, h.Frm, h.Instret
	st.ResValid, st.ResAddr, st.ResValue, st.ResSize = 0, 0, 0, 0
	if h.ResValid != 0 {
		st.ResValid, st.ResAddr, st.ResValue, st.ResSize = 1, h.ResAddr, h.ResValue, h.ResSize
	}
	for i, num := range comparedCSRs {
		st.CSR[i], _ = h.ReadCSR(num)
	}
	st.FirmwareCause, st.FirmwareTval = h.FirmwareTrap.Cause, h.FirmwareTrap.Tval
	if s.Outside != nil {
		st.Outside = s.Outside()
	}
}

// A field is one number of a state with its name.
type field struct {
	name  string
	value uint64
}

func (st *State) fields() []field {
	f := []field{{"pc", st.PC}, {"priv", st.Priv}, {"instret", st.Instret}}
	for i, v := range st.X {
		f = append(f, field{fmt.Sprintf("x%d (%s)", i, riscv.RegName(uint8(i))), v})
	}
	for i, v := range st.F {
		f = append(f, field{fmt.Sprintf("f%d (%s)", i, riscv.FRegName(uint8(i))), v})
	}
	f = append(f, field{"fflags", st.Fflags}, field{"frm", st.Frm})
	for i, num := range comparedCSRs {
		f = append(f, field{riscv.CSRName(num), st.CSR[i]})
	}
	return append(f, field{"reservation", st.ResValid}, field{"reservation's address", st.ResAddr},
		field{"reservation's value", st.ResValue}, field{"reservation's size", st.ResSize},
		field{"firmware trap's cause", st.FirmwareCause}, field{"firmware trap's tval", st.FirmwareTval},
		field{"accesses to devices (digest)", st.Outside})
}

// Diff names the parts of two states that differ, a line each; it is empty when they are equal.
func Diff(got, want *State) string {
	var b strings.Builder
	w := want.fields()
	for i, g := range got.fields() {
		if g.value != w[i].value {
			fmt.Fprintf(&b, "%s = %#x, want %#x\n", g.name, g.value, w[i].value)
		}
	}
	return b.String()
}

// String writes the state down, four numbers a line.
func (st *State) String() string {
	var b strings.Builder
	for i, f := range st.fields() {
		end := "  "
		if i%4 == 3 {
			end = "\n"
		}
		fmt.Fprintf(&b, "%16s %016x%s", f.name, f.value, end)
	}
	return strings.TrimRight(b.String(), " \n") + "\n"
}

// privName is the letter of a privilege.
func privName(priv uint64) string {
	switch priv {
	case riscv.PrivU:
		return "U"
	case riscv.PrivS:
		return "S"
	}
	return "M"
}

// view is what decides where a hart's instructions come from.
type view struct{ pc, priv, satp, instret uint64 }

func viewOf(h *hart.Hart) view { return view{h.PC, h.Priv, h.Satp, h.Instret} }
