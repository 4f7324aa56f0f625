package softfloat

import "math"

// The constants of FLI ("Zfa"), by the value of the rs1 field. Entry 1 is the smallest normal number of the format, and the
// rest is one list in all formats: 2^16, which binary16 cannot hold, becomes its infinity, and the small powers of two
// become subnormal there.
var fliValues = [32]float64{
	-1, 0, 0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0.0625, 0.125,
	0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,
	1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4,
	8, 16, 128, 256, 0x1p15, 0x1p16, math.Inf(1), math.NaN(),
}

var (
	fli16 = fliTable[uint16]()
	fli32 = fliTable[uint32]()
	fli64 = fliTable[uint64]()
)

func fliTable[T raw]() (table [32]T) {
	var fl Flags
	for i, v := range fliValues {
		table[i] = convert[T](math.Float64bits(v), RNE, &fl)
	}
	table[1] = 1 << formatOf[T]().frac
	return table
}

// Fli16 is the constant that FLI.H loads; i is the rs1 field, of which the lowest five bits count.
func Fli16(i uint8) uint16 { return fli16[i&31] }

// Fli32 is the constant that FLI.S loads; i is the rs1 field, of which the lowest five bits count.
func Fli32(i uint8) uint32 { return fli32[i&31] }

// Fli64 is the constant that FLI.D loads; i is the rs1 field, of which the lowest five bits count.
func Fli64(i uint8) uint64 { return fli64[i&31] }
