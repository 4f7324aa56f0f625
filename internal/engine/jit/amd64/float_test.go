//go:build linux && amd64

package amd64_test

// Floating point in generated code against the interpreter: every instruction, rounding mode and aliasing of registers, alone
// and in straight lines, on values where something is special.

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// Values.

var doubles = func() (list []uint64) {
	add := func(v float64) { list = append(list, math.Float64bits(v), math.Float64bits(-v)) }
	for _, v := range []float64{
		0, math.SmallestNonzeroFloat64, 3 * math.SmallestNonzeroFloat64, 0x1p-1022, math.Nextafter(0x1p-1022, 0), math.Nextafter(0x1p-1022, 1),
		0x1p-600, 0x1p-149, 0x1p-150, 0x1.8p-150, 0x1p-126, math.Nextafter(0x1p-126, 0), 0.25, 0.5, math.Nextafter(0.5, 0), math.Nextafter(0.5, 1), 0.75,
		math.Nextafter(1, 0), 1, math.Nextafter(1, 2), 1.5, 2, 2.5, 3.5, 10, math.Pi, 16777217,
		math.MaxInt32 - 0.5, math.MaxInt32, math.MaxInt32 + 0.25, math.MaxInt32 + 0.5, 0x1p31, 0x1p31 + 0.5, 0x1p31 + 1,
		math.MaxUint32 - 0.5, math.MaxUint32, math.MaxUint32 + 0.25, math.MaxUint32 + 0.5, 0x1p32, 0x1p32 + 0.5, 0x1p52 + 0.5, 0x1p53, 0x1p62,
		math.Nextafter(0x1p63, 0), 0x1p63, math.Nextafter(0x1p63, 0x1p64), math.Nextafter(0x1p64, 0), 0x1p64, math.Nextafter(0x1p64, 0x1p65),
		math.MaxFloat32, math.MaxFloat32 * (1 + 0x1p-26), 0x1p128, 0x1p600, math.MaxFloat64, math.Inf(1),
	} {
		add(v)
	}
	return append(list, 0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000, 0x7ff8_0000_0000_1234, 0xffff_ffff_ffff_ffff,
		0x7ff0_0000_0000_0001, 0xfff0_0000_0000_0001, 0x7ff4_1234_0000_0000)
}()

var singles = func() (list []uint64) {
	for _, v := range doubles {
		f := math.Float32bits(float32(math.Float64frombits(v)))
		list = append(list, uint64(f))
	}
	for _, f := range []float32{0x1p-149, 0x1p-126, 1, 0x1p31, 0x1p32, 0x1p63, 0x1p64} {
		b := math.Float32bits(f)
		list = append(list, uint64(b-1), uint64(b+1), uint64(b-1)|1<<31, uint64(b+1)|1<<31)
	}
	list = append(list, 0x7fc0_0000, 0xffc0_0000, 0x7fc0_1234, 0xffff_ffff, 0x7f80_0001, 0xff80_0001, 0x7fa0_0000)
	slices.Sort(list)
	return slices.Compact(list)
}()

var ints = []uint64{
	0, 1, 2, 3, 1<<24 - 1, 1 << 24, 1<<24 + 1, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1,
	1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<53 + 2, 1<<63 - 1, 1 << 63, 1<<63 + 1, 1<<63 + 1024, 1<<63 + 1025, 1<<63 + 1<<39, 1<<63 + 1<<39 + 1,
	1<<64 - 1, 1<<64 - 2, 1<<64 - 1024, 1<<64 - 1025, 1<<64 - 1<<24, 1<<64 - 1<<31, 1<<64 - 1<<31 - 1, 1<<64 - 1<<53 - 1,
}

const box = 0xffff_ffff_0000_0000

func randomFloat(r *rand.Rand, single bool) uint64 {
	if single {
		switch r.IntN(16) {
		case 0, 1, 2, 3, 4, 5, 6:
			return box | singles[r.IntN(len(singles))]
		case 7: // not boxed
			return singles[r.IntN(len(singles))] | uint64(r.Uint32N(1<<31))<<32
		case 8, 9:
			return box | uint64(r.Uint32())
		default:
			return box | uint64(math.Float32bits(float32((r.Float64()-0.5)*math.Ldexp(1, r.IntN(40)))))
		}
	}
	switch r.IntN(8) {
	case 0, 1, 2, 3:
		return doubles[r.IntN(len(doubles))]
	case 4:
		return r.Uint64()
	default:
		return math.Float64bits((r.Float64() - 0.5) * math.Ldexp(1, r.IntN(70)))
	}
}

func randomInt(r *rand.Rand) uint64 {
	if r.IntN(2) == 0 {
		return ints[r.IntN(len(ints))]
	}
	return uint64(int64(r.Uint64()) >> r.IntN(64))
}

// floatOps are the instructions that have code.
var floatOps = func() (list []riscv.Op) {
	for op := range riscv.Op(riscv.NumOps) {
		if e := op.Spec().Ext; e == riscv.ExtF || e == riscv.ExtD {
			list = append(list, op)
		}
	}
	return list
}()

func reads(op riscv.Op) (single bool) {
	switch op {
	case riscv.FCVT_D_S:
		return true
	case riscv.FCVT_S_D:
		return false
	}
	return len(op.String()) > 2 && slices.Contains([]string{".s", ".w", "sw", "lw"}, op.String()[len(op.String())-2:])
}

var featureSets = map[string]asm.Feature{
	"all":    ^asm.Feature(0),
	"no FMA": ^asm.HasFMA,
	"legacy": ^(asm.HasFMA | asm.HasAVX | asm.HasF16C | asm.HasBMI1 | asm.HasBMI2),
}

func eachFeatureSet(t *testing.T, f func(t *testing.T, m *floatMachine)) {
	host := asm.Host()
	for name, mask := range featureSets {
		t.Run(name, func(t *testing.T) { f(t, newFloatMachine(t, host&mask)) })
	}
}

// Pools of registers: in host registers and in memory, few, so that operands coincide.
var (
	floatPool = []uint8{10, 3, 20, 28}
	intPool   = []uint8{10, 28, 9, 0}
)

func pick(r *rand.Rand, class riscv.RegClass) uint8 {
	switch class {
	case riscv.FloatReg:
		return floatPool[r.IntN(len(floatPool))]
	case riscv.IntReg:
		return intPool[r.IntN(len(intPool))]
	}
	return 0
}

func rounds(op riscv.Op) bool {
	_, err := riscv.Encode(riscv.Inst{Op: op, Rm: 7})
	return err == nil && isMemory(op) == 0
}

// isMemory is 1 for loads and 2 for stores.
func isMemory(op riscv.Op) int {
	switch op {
	case riscv.FLW, riscv.FLD:
		return 1
	case riscv.FSW, riscv.FSD:
		return 2
	}
	return 0
}

// isOrdinary says that an instruction must not need the interpreter: singles are boxed, the rounding mode is the dynamic one, a conversion fits.
func isOrdinary(i *riscv.Inst, before, after *hart.Hot, single bool) bool {
	if i.Op == riscv.FMV_X_W || i.Op == riscv.FMV_X_D {
		return true
	}
	if i.Rm != 7 && uint64(i.Rm) != before.Frm && rounds(i.Op) {
		return false
	}
	_, c1, c2, c3 := i.Op.Operands()
	for k, class := range [3]riscv.RegClass{c1, c2, c3} {
		if class != riscv.FloatReg {
			continue
		}
		v := before.F[[3]uint8{i.Rs1, i.Rs2, i.Rs3}[k]]
		if single && v>>32 != 1<<32-1 {
			return false
		}
	}
	switch i.Op {
	case riscv.FCVT_W_S, riscv.FCVT_L_S, riscv.FCVT_W_D, riscv.FCVT_L_D:
		return after.Fflags&0x10 == 0 && i.Rm == 1 || i.Rm == 7
	case riscv.FCVT_WU_S, riscv.FCVT_LU_S:
		return after.Fflags&0x10 == 0 && before.F[i.Rs1]>>31&1 == 0
	case riscv.FCVT_WU_D, riscv.FCVT_LU_D:
		v := math.Float64frombits(before.F[i.Rs1])
		return after.Fflags&0x10 == 0 && !math.Signbit(v) && !(v > math.MaxUint32 && v < 1<<32)
	}
	return true
}

func TestFloatInstructions(t *testing.T) {
	eachFeatureSet(t, func(t *testing.T, m *floatMachine) {
		configs, runs := 64, 100
		if testing.Short() {
			configs, runs = 8, 16
		}
		type count struct{ steps, ordinary, all, stepsAll int }
		counts := map[riscv.Op]*count{}
		for _, op := range floatOps {
			if isMemory(op) != 0 {
				continue
			}
			r := rand.New(rand.NewPCG(1, uint64(op)))
			single := reads(op)
			n := &count{}
			counts[op] = n
			crd, c1, c2, c3 := op.Operands()
			modes := []uint8{0}
			if rounds(op) {
				modes = []uint8{7, 7, 0, 1, 2, 3, 4}
			}
			grid := doubles
			if single {
				grid = singles
			}
			for config := range configs {
				i := riscv.Inst{Op: op, Rd: pick(r, crd), Rs1: pick(r, c1), Rs2: pick(r, c2), Rs3: pick(r, c3)}
				if config < 4 { // all different
					i.Rs2, i.Rs3 = 0, 0
					i.Rd, i.Rs1 = 10+uint8(config)*3, 11+uint8(config)*3
					if c2 != riscv.NoReg {
						i.Rs2 = 12 + uint8(config)*3
					}
					if c3 != riscv.NoReg {
						i.Rs3 = 13 + uint8(config)*3
					}
				}
				for _, rm := range modes {
					i.Rm = rm
					m.load(false, i)
					if len(m.ops) < 2 || m.ops[0] == ir.Step {
						t.Fatalf("%v is a step in the intermediate form", op)
					}
					total := runs
					if config == 0 {
						total = len(grid)
						if c2 != riscv.NoReg && rm == 7 {
							total *= len(grid)
						}
						if c2 != riscv.NoReg && !rounds(op) {
							total = len(grid) * len(grid)
						}
					}
					for k := range total {
						frm := uint64(r.IntN(4))
						flags := uint64(0)
						if r.IntN(4) == 0 {
							flags = uint64(r.IntN(32))
						}
						var fv [4]uint64
						for j := range fv {
							fv[j] = randomFloat(r, single)
						}
						if config == 0 {
							fv[0], fv[1] = grid[k%len(grid)], grid[k/len(grid)%len(grid)]
							if single {
								fv[0] |= box
								fv[1] |= box
							}
						}
						xv := randomInt(r)
						if config == 0 && k < len(ints) {
							xv = ints[k]
						}
						m.both(func(h *hart.State) {
							h.Fflags, h.Frm = flags, frm
							h.Mstatus |= hart.MstatusFS
							for _, f := range floatPool {
								h.F[f] = fv[3]
							}
							for j, s := range [3]uint8{i.Rs1, i.Rs2, i.Rs3} {
								if [3]riscv.RegClass{c1, c2, c3}[j] == riscv.FloatReg {
									h.F[s] = fv[j]
								}
							}
							if c1 == riscv.IntReg && i.Rs1 != 0 {
								h.X[i.Rs1] = xv
							}
						})
						before := hart.Hot{F: m.ref.F, Frm: frm}
						through := m.run(func() string { return fmt.Sprintf("%v (run %d of configuration %d)", i, k, config) })
						n.all++
						if !through {
							n.stepsAll++
						}
						if flags == 0 && isOrdinary(&i, &before, &m.ref.Hot, single) {
							n.ordinary++
							if !through {
								n.steps++
								if n.steps < 3 {
									t.Logf("%v: a step for %#x %#x %#x, frm %d", i, before.F[i.Rs1], before.F[i.Rs2], before.F[i.Rs3], frm)
								}
							}
						}
					}
				}
			}
		}
		for _, op := range slices.Sorted(maps.Keys(counts)) {
			n := counts[op]
			t.Logf("%-10v %7d runs, %5.1f%% steps; %7d ordinary, %d steps", op, n.all, 100*float64(n.stepsAll)/float64(n.all), n.ordinary, n.steps)
			if n.steps != 0 && (m.has.Has(asm.HasFMA) || op.Spec().Format != riscv.FMADD_S.Spec().Format) {
				t.Errorf("%v: steps for ordinary operands", op)
			}
		}
	})
}

// randomProgram is a straight line of floating point, of one format mostly, with loads and stores.
func randomProgram(r *rand.Rand, n int) (list []riscv.Inst) {
	kind := r.IntN(3)
	for len(list) < n {
		op := floatOps[r.IntN(len(floatOps))]
		if r.IntN(3) == 0 {
			op = []riscv.Op{riscv.FLW, riscv.FSW, riscv.FLD, riscv.FSD}[r.IntN(4)]
		}
		rd, rs1, rs2, rs3 := op.Operands()
		i := riscv.Inst{Op: op, Rd: pick(r, rd), Rs1: pick(r, rs1), Rs2: pick(r, rs2), Rs3: pick(r, rs3)}
		memory := isMemory(op)
		if single := reads(op); memory == 0 && rs1 == riscv.FloatReg && (kind == 0 && single || kind == 1 && !single) {
			continue
		}
		if memory != 0 {
			i.Rs1, i.Imm = floatBase, int32(r.IntN(200))
			if r.IntN(4) != 0 {
				i.Imm &^= 7
			}
		} else if rounds(op) {
			if i.Rm = 7; r.IntN(8) == 0 {
				i.Rm = uint8(r.IntN(5))
			}
		}
		list = append(list, i)
	}
	return list
}

// TestFloatStraightLines covers what one instruction tells the next: that the unit is on, which registers are boxed, where a group
// of accesses begins.
func TestFloatStraightLines(t *testing.T) {
	eachFeatureSet(t, func(t *testing.T, m *floatMachine) {
		programs := 3000
		if testing.Short() {
			programs = 300
		}
		r := rand.New(rand.NewPCG(2, 3))
		through, all := 0, 0
		data := func(h *floatHart) []byte {
			b, err := h.ram.Slice(floatData, 2*memory.PageSize)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		a, b := data(m.jit), data(m.ref)
		for range programs {
			program := randomProgram(r, 1+r.IntN(12))
			m.load(r.IntN(4) != 0, program...)
			for range 8 {
				single := r.IntN(2) == 0
				for at := 0; at < len(a); at += 8 {
					if at == 512 {
						at = memory.PageSize - 256
					}
					if at > memory.PageSize+256 {
						break
					}
					v := randomFloat(r, single)
					binary.LittleEndian.PutUint64(a[at:], v)
					binary.LittleEndian.PutUint64(b[at:], v)
				}
				frm, status := uint64(r.IntN(4)), uint64(hart.MstatusFS)
				switch r.IntN(20) {
				case 0:
					frm = uint64(r.IntN(8))
				case 1:
					status = hart.MstatusFS &^ (hart.MstatusFS << 1) // initial
				case 2:
					status = 0
				}
				base := uint64(floatData + r.IntN(256))
				switch r.IntN(8) {
				case 0:
					base = floatData + memory.PageSize - uint64(r.IntN(220)) // a group crosses, or an access
				case 1: // aligned
				default:
					base &^= 7
				}
				var fv [4]uint64
				for j := range fv {
					fv[j] = randomFloat(r, single)
				}
				xv := randomInt(r)
				m.both(func(h *hart.State) {
					h.Fflags, h.Frm = 0, frm
					h.Mstatus = h.Mstatus&^hart.MstatusFS | status
					for j, f := range floatPool {
						h.F[f] = fv[j]
					}
					for _, x := range intPool[:3] {
						h.X[x] = xv
					}
					h.X[floatBase] = base
				})
				all++
				if m.run(func() string { return "a straight line" }) {
					through++
				}
				if string(a) != string(b) {
					for at := range a {
						if a[at] != b[at] {
							t.Logf("byte %#x is %#x, want %#x", at, a[at], b[at])
						}
					}
					for _, i := range program {
						t.Logf("\t%v", i)
					}
					t.Fatalf("memory differs; base %#x", base)
				}
			}
		}
		t.Logf("%d of %d ran to their end", through, all)
		if through == 0 {
			t.Error("none ran to its end")
		}
	})
}
