package jit

// fcsr and MXCSR: the same five flags and four of the rounding modes, in other places (Unprivileged, "F"; Intel SDM volume 1 §10.2.3).

const (
	mxcsrMasked = 0x1f80 // every exception masked

	mxcsrInvalid   = 1 << 0
	mxcsrDivide    = 1 << 2
	mxcsrOverflow  = 1 << 3
	mxcsrUnderflow = 1 << 4
	mxcsrInexact   = 1 << 5

	fflagNX = 1 << 0
	fflagUF = 1 << 1
	fflagOF = 1 << 2
	fflagDZ = 1 << 3
	fflagNV = 1 << 4
)

// mxcsrRounding is by frm: to nearest even, to zero, down, up.
var mxcsrRounding = [4]uint32{0 << 13, 3 << 13, 1 << 13, 2 << 13}

var flagPairs = [...]struct{ mxcsr, fflag uint32 }{
	{mxcsrInvalid, fflagNV}, {mxcsrDivide, fflagDZ}, {mxcsrOverflow, fflagOF}, {mxcsrUnderflow, fflagUF}, {mxcsrInexact, fflagNX},
}

// mxcsrFlags is by fflags, fflags by the flags of MXCSR.
var mxcsrFlags, fflags = func() (m [32]uint32, f [64]uint32) {
	for i := range m {
		for _, p := range flagPairs {
			if uint32(i)&p.fflag != 0 {
				m[i] |= p.mxcsr
			}
		}
	}
	for i := range f {
		for _, p := range flagPairs {
			if uint32(i)&p.mxcsr != 0 {
				f[i] |= p.fflag
			}
		}
	}
	return
}()
