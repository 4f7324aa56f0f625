package riscv

// The operand formats: for each, where in the encoding every operand lies and how assembly writes it. Decode and Encode
// are loops over this data, so a field is described once (Unprivileged, "Base Instruction Formats"; "C", Table 36 on).
//
// Compressed formats name the operands of the instruction they abbreviate, implied registers included: c.addi decodes with
// Rd and Rs1 alike, c.lwsp with Rs1 = 2, c.not with Imm = -1. Expanding is then only a change of Op.

// Format is an operand format: an index into formats.
type Format uint8

// The operand formats.
const (
	FormatIllegal Format = iota
	FormatNone
	FormatR
	FormatR1
	FormatI
	FormatLoad
	FormatJALR
	FormatShift
	FormatShiftW
	FormatStore
	FormatB
	FormatU
	FormatJ
	FormatFence
	FormatFenceI
	FormatCSR
	FormatCSRI
	FormatSFence
	FormatCBO
	FormatPrefetch
	FormatAMO
	FormatLR
	FormatMopR
	FormatMopRR
	FormatFLoad
	FormatFStore
	FormatFR
	FormatFRrm
	FormatFR4
	FormatF1rm
	FormatFCmp
	FormatFToX
	FormatFToXrm
	FormatXToF
	FormatXToFrm
	FormatFLI
	FormatFCvtMod
	FormatCNone
	FormatCIW
	FormatCLW
	FormatCLD
	FormatCFLD
	FormatCSW
	FormatCSD
	FormatCFSD
	FormatCLB
	FormatCLH
	FormatCSB
	FormatCSH
	FormatCNOP
	FormatCI
	FormatCLI
	FormatCI16SP
	FormatCLUI
	FormatCSlli
	FormatCShift
	FormatCAndi
	FormatCA
	FormatCU
	FormatCZextB
	FormatCNot
	FormatCJ
	FormatCB
	FormatCLWSP
	FormatCLDSP
	FormatCFLDSP
	FormatCSWSP
	FormatCSDSP
	FormatCFSDSP
	FormatCJR
	FormatCJALR
	FormatCMV
	FormatCAdd
	FormatCMop
	numFormats int = iota
)

// A field is a register number (or a rounding mode) in an encoding: bits of it from shift up, plus bias. Without bits it
// is the constant bias.
type field struct {
	shift, bits, bias uint8
	class             RegClass
}

// A piece moves width bits of an encoding, from bit from up, to bit to of an immediate.
type piece struct{ from, width, to uint8 }

// An immediate is put together from pieces, sign-extended from bit sign (0: unsigned), and bias is added to it.
type immediate struct {
	sign   uint8
	bias   int32
	pieces []piece
}

// rmKind says what Inst.Rm holds.
type rmKind uint8

const (
	rmNone  rmKind = iota
	rmFloat        // a rounding mode in bits 14:12
	rmAqRl         // aq and rl in bits 26:25
)

var rmFields = [...]field{rmFloat: {shift: 12, bits: 3}, rmAqRl: {shift: 25, bits: 2}}

type format struct {
	rd, rs1, rs2, rs3 field
	rm                rmKind
	imm               *immediate
	syntax            string // operands as assembly writes them, in the words of disasm.go
}

var (
	xd  = field{7, 5, 0, IntReg}
	xs1 = field{15, 5, 0, IntReg}
	xs2 = field{20, 5, 0, IntReg}
	fd  = field{7, 5, 0, FloatReg}
	fs1 = field{15, 5, 0, FloatReg}
	fs2 = field{20, 5, 0, FloatReg}
	fs3 = field{27, 5, 0, FloatReg}
	ks1 = field{15, 5, 0, ConstReg}

	// Registers of compressed formats: full at bits 11:7 and 6:2, the eight popular ones at bits 9:7 and 4:2.
	cx7  = field{7, 5, 0, IntReg}
	cx2  = field{2, 5, 0, IntReg}
	cf7  = field{7, 5, 0, FloatReg}
	cf2  = field{2, 5, 0, FloatReg}
	px7  = field{7, 3, 8, IntReg}
	px2  = field{2, 3, 8, IntReg}
	pf2  = field{2, 3, 8, FloatReg}
	zero = field{0, 0, 0, IntReg}
	link = field{0, 0, 1, IntReg}
	sp   = field{0, 0, 2, IntReg}

	immNone   = immediate{}
	immRaw    = immediate{0, 0, []piece{{0, 32, 0}}}
	immI      = immediate{11, 0, []piece{{20, 12, 0}}}
	immU12    = immediate{0, 0, []piece{{20, 12, 0}}}
	immS      = immediate{11, 0, []piece{{25, 7, 5}, {7, 5, 0}}}
	immB      = immediate{12, 0, []piece{{31, 1, 12}, {7, 1, 11}, {25, 6, 5}, {8, 4, 1}}}
	immU      = immediate{31, 0, []piece{{12, 20, 12}}}
	immJ      = immediate{20, 0, []piece{{31, 1, 20}, {12, 8, 12}, {20, 1, 11}, {21, 10, 1}}}
	immShamt  = immediate{0, 0, []piece{{20, 6, 0}}}
	immShamtW = immediate{0, 0, []piece{{20, 5, 0}}}
	immPref   = immediate{11, 0, []piece{{25, 7, 5}}}
	immMopR   = immediate{0, 0, []piece{{30, 1, 4}, {26, 2, 2}, {20, 2, 0}}}
	immMopRR  = immediate{0, 0, []piece{{30, 1, 2}, {26, 2, 0}}}

	immCIW    = immediate{0, 0, []piece{{11, 2, 4}, {7, 4, 6}, {6, 1, 2}, {5, 1, 3}}}
	immCLW    = immediate{0, 0, []piece{{10, 3, 3}, {6, 1, 2}, {5, 1, 6}}}
	immCLD    = immediate{0, 0, []piece{{10, 3, 3}, {5, 2, 6}}}
	immCLB    = immediate{0, 0, []piece{{6, 1, 0}, {5, 1, 1}}}
	immCLH    = immediate{0, 0, []piece{{5, 1, 1}}}
	immCI     = immediate{5, 0, []piece{{12, 1, 5}, {2, 5, 0}}}
	immCShamt = immediate{0, 0, []piece{{12, 1, 5}, {2, 5, 0}}}
	immCI16SP = immediate{9, 0, []piece{{12, 1, 9}, {6, 1, 4}, {5, 1, 6}, {3, 2, 7}, {2, 1, 5}}}
	immCLUI   = immediate{17, 0, []piece{{12, 1, 17}, {2, 5, 12}}}
	immCJ     = immediate{11, 0, []piece{{12, 1, 11}, {11, 1, 4}, {9, 2, 8}, {8, 1, 10}, {7, 1, 6}, {6, 1, 7}, {3, 3, 1}, {2, 1, 5}}}
	immCB     = immediate{8, 0, []piece{{12, 1, 8}, {10, 2, 3}, {5, 2, 6}, {3, 2, 1}, {2, 1, 5}}}
	immCLWSP  = immediate{0, 0, []piece{{12, 1, 5}, {4, 3, 2}, {2, 2, 6}}}
	immCLDSP  = immediate{0, 0, []piece{{12, 1, 5}, {5, 2, 3}, {2, 3, 6}}}
	immCSWSP  = immediate{0, 0, []piece{{9, 4, 2}, {7, 2, 6}}}
	immCSDSP  = immediate{0, 0, []piece{{10, 3, 3}, {7, 3, 6}}}
	immCMop   = immediate{0, 1, []piece{{8, 3, 1}}}
	immFF     = immediate{0, 0xff, nil}
	immOnes   = immediate{0, -1, nil}
)

var formats = [numFormats]format{
	FormatIllegal:  {imm: &immRaw, syntax: ""},
	FormatNone:     {imm: &immNone},
	FormatR:        {rd: xd, rs1: xs1, rs2: xs2, imm: &immNone, syntax: "rd, rs1, rs2"},
	FormatR1:       {rd: xd, rs1: xs1, imm: &immNone, syntax: "rd, rs1"},
	FormatI:        {rd: xd, rs1: xs1, imm: &immI, syntax: "rd, rs1, imm"},
	FormatLoad:     {rd: xd, rs1: xs1, imm: &immI, syntax: "rd, imm(rs1)"},
	FormatJALR:     {rd: xd, rs1: xs1, imm: &immI, syntax: "rd, imm(rs1)"},
	FormatShift:    {rd: xd, rs1: xs1, imm: &immShamt, syntax: "rd, rs1, shamt"},
	FormatShiftW:   {rd: xd, rs1: xs1, imm: &immShamtW, syntax: "rd, rs1, shamt"},
	FormatStore:    {rs1: xs1, rs2: xs2, imm: &immS, syntax: "rs2, imm(rs1)"},
	FormatB:        {rs1: xs1, rs2: xs2, imm: &immB, syntax: "rs1, rs2, target"},
	FormatU:        {rd: xd, imm: &immU, syntax: "rd, upper"},
	FormatJ:        {rd: xd, imm: &immJ, syntax: "rd, target"},
	FormatFence:    {rd: xd, rs1: xs1, imm: &immU12, syntax: "pred, succ"},
	FormatFenceI:   {rd: xd, rs1: xs1, imm: &immU12},
	FormatCSR:      {rd: xd, rs1: xs1, imm: &immU12, syntax: "rd, csr, rs1"},
	FormatCSRI:     {rd: xd, rs1: ks1, imm: &immU12, syntax: "rd, csr, rs1"},
	FormatSFence:   {rs1: xs1, rs2: xs2, imm: &immNone, syntax: "rs1, rs2"},
	FormatCBO:      {rs1: xs1, imm: &immNone, syntax: "(rs1)"},
	FormatPrefetch: {rs1: xs1, imm: &immPref, syntax: "imm(rs1)"},
	FormatAMO:      {rd: xd, rs1: xs1, rs2: xs2, rm: rmAqRl, imm: &immNone, syntax: "rd, rs2, (rs1)"},
	FormatLR:       {rd: xd, rs1: xs1, rm: rmAqRl, imm: &immNone, syntax: "rd, (rs1)"},
	FormatMopR:     {rd: xd, rs1: xs1, imm: &immMopR, syntax: "rd, rs1"},
	FormatMopRR:    {rd: xd, rs1: xs1, rs2: xs2, imm: &immMopRR, syntax: "rd, rs1, rs2"},

	FormatFLoad:   {rd: fd, rs1: xs1, imm: &immI, syntax: "rd, imm(rs1)"},
	FormatFStore:  {rs1: xs1, rs2: fs2, imm: &immS, syntax: "rs2, imm(rs1)"},
	FormatFR:      {rd: fd, rs1: fs1, rs2: fs2, imm: &immNone, syntax: "rd, rs1, rs2"},
	FormatFRrm:    {rd: fd, rs1: fs1, rs2: fs2, rm: rmFloat, imm: &immNone, syntax: "rd, rs1, rs2, rm"},
	FormatFR4:     {rd: fd, rs1: fs1, rs2: fs2, rs3: fs3, rm: rmFloat, imm: &immNone, syntax: "rd, rs1, rs2, rs3, rm"},
	FormatF1rm:    {rd: fd, rs1: fs1, rm: rmFloat, imm: &immNone, syntax: "rd, rs1, rm"},
	FormatFCmp:    {rd: xd, rs1: fs1, rs2: fs2, imm: &immNone, syntax: "rd, rs1, rs2"},
	FormatFToX:    {rd: xd, rs1: fs1, imm: &immNone, syntax: "rd, rs1"},
	FormatFToXrm:  {rd: xd, rs1: fs1, rm: rmFloat, imm: &immNone, syntax: "rd, rs1, rm"},
	FormatXToF:    {rd: fd, rs1: xs1, imm: &immNone, syntax: "rd, rs1"},
	FormatXToFrm:  {rd: fd, rs1: xs1, rm: rmFloat, imm: &immNone, syntax: "rd, rs1, rm"},
	FormatFLI:     {rd: fd, rs1: ks1, imm: &immNone, syntax: "rd, fli"},
	FormatFCvtMod: {rd: xd, rs1: fs1, imm: &immNone, syntax: "rd, rs1, rtz"},

	FormatCNone:  {imm: &immNone},
	FormatCIW:    {rd: px2, rs1: sp, imm: &immCIW, syntax: "rd, rs1, imm"},
	FormatCLW:    {rd: px2, rs1: px7, imm: &immCLW, syntax: "rd, imm(rs1)"},
	FormatCLD:    {rd: px2, rs1: px7, imm: &immCLD, syntax: "rd, imm(rs1)"},
	FormatCFLD:   {rd: pf2, rs1: px7, imm: &immCLD, syntax: "rd, imm(rs1)"},
	FormatCSW:    {rs1: px7, rs2: px2, imm: &immCLW, syntax: "rs2, imm(rs1)"},
	FormatCSD:    {rs1: px7, rs2: px2, imm: &immCLD, syntax: "rs2, imm(rs1)"},
	FormatCFSD:   {rs1: px7, rs2: pf2, imm: &immCLD, syntax: "rs2, imm(rs1)"},
	FormatCLB:    {rd: px2, rs1: px7, imm: &immCLB, syntax: "rd, imm(rs1)"},
	FormatCLH:    {rd: px2, rs1: px7, imm: &immCLH, syntax: "rd, imm(rs1)"},
	FormatCSB:    {rs1: px7, rs2: px2, imm: &immCLB, syntax: "rs2, imm(rs1)"},
	FormatCSH:    {rs1: px7, rs2: px2, imm: &immCLH, syntax: "rs2, imm(rs1)"},
	FormatCNOP:   {rd: zero, rs1: zero, imm: &immCI, syntax: "imm"},
	FormatCI:     {rd: cx7, rs1: cx7, imm: &immCI, syntax: "rd, imm"},
	FormatCLI:    {rd: cx7, rs1: zero, imm: &immCI, syntax: "rd, imm"},
	FormatCI16SP: {rd: sp, rs1: sp, imm: &immCI16SP, syntax: "rd, imm"},
	FormatCLUI:   {rd: cx7, imm: &immCLUI, syntax: "rd, upper"},
	FormatCSlli:  {rd: cx7, rs1: cx7, imm: &immCShamt, syntax: "rd, shamt"},
	FormatCShift: {rd: px7, rs1: px7, imm: &immCShamt, syntax: "rd, shamt"},
	FormatCAndi:  {rd: px7, rs1: px7, imm: &immCI, syntax: "rd, imm"},
	FormatCA:     {rd: px7, rs1: px7, rs2: px2, imm: &immNone, syntax: "rd, rs2"},
	FormatCU:     {rd: px7, rs1: px7, imm: &immNone, syntax: "rd"},
	FormatCZextB: {rd: px7, rs1: px7, imm: &immFF, syntax: "rd"},
	FormatCNot:   {rd: px7, rs1: px7, imm: &immOnes, syntax: "rd"},
	FormatCJ:     {rd: zero, imm: &immCJ, syntax: "target"},
	FormatCB:     {rs1: px7, rs2: zero, imm: &immCB, syntax: "rs1, target"},
	FormatCLWSP:  {rd: cx7, rs1: sp, imm: &immCLWSP, syntax: "rd, imm(rs1)"},
	FormatCLDSP:  {rd: cx7, rs1: sp, imm: &immCLDSP, syntax: "rd, imm(rs1)"},
	FormatCFLDSP: {rd: cf7, rs1: sp, imm: &immCLDSP, syntax: "rd, imm(rs1)"},
	FormatCSWSP:  {rs1: sp, rs2: cx2, imm: &immCSWSP, syntax: "rs2, imm(rs1)"},
	FormatCSDSP:  {rs1: sp, rs2: cx2, imm: &immCSDSP, syntax: "rs2, imm(rs1)"},
	FormatCFSDSP: {rs1: sp, rs2: cf2, imm: &immCSDSP, syntax: "rs2, imm(rs1)"},
	FormatCJR:    {rd: zero, rs1: cx7, imm: &immNone, syntax: "rs1"},
	FormatCJALR:  {rd: link, rs1: cx7, imm: &immNone, syntax: "rs1"},
	FormatCMV:    {rd: cx7, rs1: zero, rs2: cx2, imm: &immNone, syntax: "rd, rs2"},
	FormatCAdd:   {rd: cx7, rs1: cx7, rs2: cx2, imm: &immNone, syntax: "rd, rs2"},
	FormatCMop:   {rd: zero, rs1: zero, imm: &immCMop},
}

// put returns the bits of an encoding that the decoder takes v from. A v that does not fit is cut; Encode finds out.
func (f field) put(v uint8) uint32 { return uint32((v-f.bias)&(1<<f.bits-1)) << f.shift }

// put is the inverse of gather.get, for values that fit.
func (m *immediate) put(v int32) uint32 {
	var raw uint32
	u := uint32(v - m.bias)
	for _, p := range m.pieces {
		raw |= u >> p.to & (1<<p.width - 1) << p.from
	}
	return raw
}

// bits returns the bits of an encoding that are operands of the format.
func (f *format) bits() uint32 {
	var b uint32
	for _, r := range [...]field{f.rd, f.rs1, f.rs2, f.rs3, rmFields[f.rm]} {
		b |= (1<<r.bits - 1) << r.shift
	}
	for _, p := range f.imm.pieces {
		b |= (1<<p.width - 1) << p.from
	}
	return b
}
