package softfloat

import "math"

// When the host's processor may answer.
//
// Go's arithmetic is that of IEEE 754 in round-to-nearest-even, subnormals included, on every host this project builds for,
// but its exception flags are out of reach. They matter little once the guest's NX is set, as it is after the first inexact
// operation of nearly every program, for it stays set until the guest clears it. Then, under RNE, a result that is normal,
// finite and not in the lowest binade can have raised nothing but NX:
//
//   - It is no NaN, so nothing was invalid; it is no infinity, so nothing overflowed or was divided by zero.
//   - It is at least twice the smallest normal number, so it was not tiny, before or after rounding.
//
// All else falls through to the exact routine. The largest class of that, results of zero, is quick there as well.
//
// Where an expression multiplies and adds, the product is exact or converted explicitly: Go may fuse them otherwise.

// hostable reports whether the host's result would be admissible, as far as mode and flags go.
func hostable(rm Rounding, fl *Flags) bool { return rm == RNE && *fl&NX != 0 }

// ordinary32 reports whether a result is one for which only NX can have been raised.
func ordinary32(r uint32) bool { return r>>23&0xff-2 < 0xff-2 }

// ordinary64 reports whether a result is one for which only NX can have been raised.
func ordinary64(r uint64) bool { return r>>52&0x7ff-2 < 0x7ff-2 }

func f32(a uint32) float32 { return math.Float32frombits(a) }
func f64(a uint64) float64 { return math.Float64frombits(a) }
