package bench

// Values for people.

import (
	"fmt"
	"math"
	"strings"
)

// scale is a unit as people know it.
type scale struct {
	from float64 // the least value that it is used for
	by   float64
	name string
}

var (
	times = []scale{{60, 60, "min"}, {1, 1, "s"}, {1e-3, 1e-3, "ms"}, {1e-6, 1e-6, "µs"}, {0, 1e-9, "ns"}}
	sizes = []scale{{1 << 30, 1 << 30, "GiB"}, {1 << 20, 1 << 20, "MiB"}, {1 << 10, 1 << 10, "KiB"}, {0, 1, "B"}}
	insts = []scale{{1e9, 1e9, " G/s"}, {1e6, 1e6, " M/s"}, {0, 1, " /s"}}
)

// FormatValue writes a value of a unit with three digits: "1.25 µs" for 1250 ns/op.
func FormatValue(v float64, unit string) string {
	scales, suffix := []scale(nil), ""
	switch unit {
	case NsPerOp.Name:
		scales, v = times, v*1e-9
	case Seconds.Name:
		scales = times
	case Bytes.Name:
		scales = sizes
	case BytesPerSec.Name:
		scales, suffix = sizes, "/s"
	case InstPerSec.Name:
		scales = insts
	case Percent.Name:
		return digits(v) + " %"
	default:
		return digits(v) + " " + unit
	}
	for _, s := range scales {
		if math.Abs(v) >= s.from {
			return digits(v/s.by) + " " + strings.TrimSpace(s.name) + suffix
		}
	}
	return digits(v) // not reached: the last scale is for all
}

// digits writes three of them.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.001 || a >= 1e6:
		return fmt.Sprintf("%.2e", v)
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
