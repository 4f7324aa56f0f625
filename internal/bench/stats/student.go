package stats

// Student's test. Its assumption, that what is compared is about normal, is a fair one for logarithms of medians, but for a pass now and then that met a
// neighbour: of ten and more the lowest and the highest tenth are left out, with the error that this makes taken into account (Yuen's test). With a
// handful of passes only Student's can be significant: a rank test of five against five is never below 0.8 %.

import (
	"math"
	"slices"
)

// Welch is the probability, of both sides, that two sets of numbers with the same mean, of about normal distributions of any width, are as far apart as
// these. It is 1 where there are fewer than two on a side.
func Welch(a, b []float64) float64 {
	if len(a) < 2 || len(b) < 2 {
		return 1
	}
	ma, ea, fa := middle(a)
	mb, eb, fb := middle(b)
	if ea+eb == 0 {
		if ma == mb {
			return 1
		}
		return 0
	}
	return student((ma-mb)/math.Sqrt(ea+eb), (ea+eb)*(ea+eb)/(ea*ea/fa+eb*eb/fb))
}

// Paired is Welch for pairs of which only the differences matter.
func Paired(differences []float64) float64 {
	if len(differences) < 2 {
		return 1
	}
	mean, square, freedom := middle(differences)
	if square == 0 {
		if mean == 0 {
			return 1
		}
		return 0
	}
	return student(mean/math.Sqrt(square), freedom)
}

// middle is the mean of what is left of at least two numbers, the square of its error, and the degrees of freedom.
func middle(v []float64) (mean, square, freedom float64) {
	s := slices.Sorted(slices.Values(v))
	n, cut := len(s), 0
	if n >= 10 {
		cut = (n + 4) / 10
	}
	left := float64(n - 2*cut)
	for _, x := range s[cut : n-cut] {
		mean += x / left
	}
	for i := range cut { // what is left out counts as the nearest that is not
		s[i], s[n-1-i] = s[cut], s[n-1-cut]
	}
	average := 0.0
	for _, x := range s {
		average += x / float64(n)
	}
	for _, x := range s {
		square += (x - average) * (x - average) / (left * (left - 1))
	}
	return mean, square, left - 1
}

// student is the share of Student's distribution that is farther from 0 than t.
func student(t, freedom float64) float64 { return beta(freedom/(freedom+t*t), freedom/2, 0.5) }

// beta is the regularized incomplete beta function, by its continued fraction (Abramowitz and Stegun, 26.5.8).
func beta(x, a, b float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) { // where the fraction converges slowly
		return 1 - beta(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log(1-x))
	// Evaluated from its end, which is far enough away.
	f := 1.0
	for m := 200; m >= 1; m-- {
		k := float64(m)
		even := k * (b - k) * x / ((a + 2*k - 1) * (a + 2*k))
		odd := -(a + k) * (a + b + k) * x / ((a + 2*k) * (a + 2*k + 1))
		f = 1 + even/(1+odd/f)
	}
	first := -(a + b) * x / (a + 1)
	f = 1 + first/f
	return front / a / f
}
