package report

// Plots, as SVG that takes its colours from the page and its size from where it stands. Axes have ticks at round values, with units.

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

// The size of a plot in its own units, which are about pixels on a phone: text is 12 of them high.
const (
	width, height            = 360.0, 150.0
	left, right, top, bottom = 70.0, 12.0, 8.0, 24.0
	halfLabel                = 34.0 // of the widest label of an axis
)

// svg is a plot that is being drawn.
type svg struct{ strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(s, format, args...) }

func (s *svg) open(w, h float64, label string) {
	s.add(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, w, h, template.HTMLEscapeString(label))
}

func (s *svg) text(x, y float64, anchor, text string) {
	s.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, template.HTMLEscapeString(text))
}

func (s *svg) html() template.HTML {
	s.add("</svg>")
	return template.HTML(s.String()) // all text in it has been escaped
}

// axis maps values to places.
type axis struct{ low, high, from, to float64 }

// around is an axis with everything on it, and a little room; values that are all the same get some.
func around(values []float64, from, to float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	switch {
	case low > high:
		low, high = 0, 1
	case low == high:
		d := max(math.Abs(low)/10, 1e-12)
		low, high = low-d, high+d
	}
	room := (high - low) / 20
	return axis{low - room, high + room, from, to}
}

func (a axis) at(v float64) float64 { return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from) }

// ticks is about n round values on the axis.
func (a axis) ticks(n int) (list []float64) {
	raw := (a.high - a.low) / float64(max(n, 1))
	if !(raw > 0) || !finite(raw) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if step*m >= raw {
			step *= m
			break
		}
	}
	for v := math.Ceil(a.low/step) * step; v <= a.high+step*1e-9 && len(list) < 50; v += step {
		list = append(list, math.Round(v/step)*step)
	}
	return list
}

// horizontal draws an axis of values below a plot.
func (s *svg) horizontal(a axis, unit string) {
	y := height - bottom
	s.add(`<path class="axis" d="M%g %gH%g"/>`, left, y, width-right)
	for _, v := range a.ticks(3) {
		x := a.at(v)
		s.add(`<path class="grid" d="M%.1f %gV%g"/>`, x, top, y)
		if x > width-halfLabel {
			s.text(width, y+16, "end", bench.FormatValue(v, unit))
		} else {
			s.text(x, y+16, "middle", bench.FormatValue(v, unit))
		}
	}
}

// vertical draws one beside it.
func (s *svg) vertical(a axis, unit string) {
	s.add(`<path class="axis" d="M%g %gV%g"/>`, left, top, height-bottom)
	for _, v := range a.ticks(4) {
		y := a.at(v)
		s.add(`<path class="grid" d="M%g %.1fH%g"/>`, left, y, width-right)
		s.text(left-6, y+4, "end", bench.FormatValue(v, unit))
	}
}

// strip is a row's samples in a line, small enough for a table.
func strip(b *bench.Row) template.HTML {
	const w, h = 120.0, 16.0
	samples := b.Samples()
	a := around(near(samples), 2, w-2)
	var s svg
	s.open(w, h, "samples of "+b.Name)
	var lines strings.Builder
	for _, v := range samples {
		fmt.Fprintf(&lines, "M%.1f 3v10", a.at(min(max(v, a.low), a.high)))
	}
	s.add(`<path class="sample" d="%s"/>`, lines.String())
	s.add(`<path class="median" d="M%.1f 0V16"/>`, a.at(stats.Median(samples)))
	return s.html()
}

// near is the samples but those so far out that the rest would be a line.
func near(samples []float64) []float64 {
	s := slices.Sorted(slices.Values(samples))
	low, high := stats.Quantile(s, 0.25), stats.Quantile(s, 0.75)
	fence := max(4*(high-low), 0.01*stats.Quantile(s, 0.5))
	return slices.DeleteFunc(s, func(v float64) bool { return v < low-fence || v > high+fence })
}

// distribution plots every sample of a machine, a line a pass, with the median and its interval. What is far out is a mark at the edge.
func distribution(name, class, unit string, passes [][]float64) template.HTML {
	samples := slices.Concat(passes...)
	a := around(near(samples), left, width-right)
	var s svg
	s.open(width, height, "samples of "+name+" by pass")
	s.horizontal(a, unit)
	low, high := stats.MedianInterval(samples)
	s.add(`<rect class="interval" x="%.1f" y="%g" width="%.1f" height="%g"/>`, a.at(low), top, max(a.at(high)-a.at(low), 1), height-bottom-top)
	s.add(`<path class="median" d="M%.1f %gV%g"/>`, a.at(stats.Median(samples)), top, height-bottom)
	step := (height - bottom - top) / float64(len(passes))
	for i, pass := range passes {
		y := top + step*(float64(i)+0.5)
		if i == 0 || step >= 13 {
			s.text(left-6, y+4, "end", fmt.Sprintf("pass %d", i+1))
		}
		var dots, far strings.Builder
		for _, v := range pass {
			switch {
			case v < a.low:
				fmt.Fprintf(&far, "M%g %.1fl-6 -4v8z", left+6, y)
			case v > a.high:
				fmt.Fprintf(&far, "M%g %.1fl6 -4v8z", width-right-6, y)
			default:
				fmt.Fprintf(&dots, "M%.1f %.1fh0", a.at(v), y)
			}
		}
		s.add(`<path class="dots %s" d="%s"/><path class="far" d="%s"/>`, class, dots.String(), far.String())
	}
	return s.html()
}

// point is a result in a plot over time.
type point struct {
	at               time.Time
	value, low, high float64
	baseline         bool
}

// over plots points by date.
func over(points []point, unit string) template.HTML {
	var values, times []float64
	for _, p := range points {
		values = append(values, p.low, p.high, p.value)
		times = append(times, float64(p.at.Unix()))
	}
	x, y := around(times, left, width-right), around(values, height-bottom, top)
	var s svg
	s.open(width, height, "median over time")
	s.vertical(y, unit)
	s.add(`<path class="axis" d="M%g %gH%g"/>`, left, height-bottom, width-right)
	var line strings.Builder
	for i, p := range points {
		px, py := x.at(float64(p.at.Unix())), y.at(p.value)
		fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(i, 1)], px, py)
		s.add(`<path class="whisker" d="M%.1f %.1fV%.1f"/>`, px, y.at(p.low), y.at(p.high))
		class := "own"
		if p.baseline {
			class = "baseline"
		}
		s.add(`<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"/>`, class, px, py)
	}
	s.add(`<path class="line" d="%s"/>`, line.String())
	first, last := points[0].at, points[len(points)-1].at
	layout := "2006-01-02"
	if last.Sub(first) < 48*time.Hour {
		layout = "01-02 15:04"
	}
	s.text(left, height-bottom+16, "start", first.Format(layout))
	s.text(width-right, height-bottom+16, "end", last.Format(layout))
	return s.html()
}

// bar is a ratio.
type bar struct {
	name             string
	value, low, high float64
	mark             float64 // where both are the same
}

// ratios draws bars from 0.
func ratios(bars []bar) template.HTML {
	if len(bars) == 0 {
		return ""
	}
	const each = 38.0
	h := each*float64(len(bars)) + 24
	most := 1.0
	for _, b := range bars {
		most = max(most, b.high, b.mark)
	}
	a := axis{0, most * 1.1, 10, width - right}
	var s svg
	s.open(width, h, "ratios")
	for i, b := range bars {
		y := each * float64(i)
		s.text(10, y+12, "start", fmt.Sprintf("%.2f %s", b.value, b.name))
		s.add(`<rect class="bar" x="10" y="%.1f" width="%.1f" height="12"/>`, y+17, max(a.at(b.value)-10, 1))
		s.add(`<path class="whisker" d="M%.1f %.1fH%.1f"/>`, a.at(b.low), y+23, a.at(b.high))
		s.add(`<path class="mark" d="M%.1f %.1fv18"/>`, a.at(b.mark), y+14)
	}
	for _, v := range a.ticks(5) {
		s.text(a.at(v), h-4, "middle", fmt.Sprintf("%g", v))
	}
	return s.html()
}
