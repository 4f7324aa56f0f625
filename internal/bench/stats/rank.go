package stats

// Rank tests, and what to make of many of them.

import (
	"cmp"
	"math"
	"slices"
)

// MannWhitney is the probability, of both sides, that two sets of samples of one distribution are as unlike each other as these: by all arrangements
// where there are few samples and no ties, by the normal approximation with ties taken into account otherwise.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	type ranked struct {
		v     float64
		first bool
	}
	all := make([]ranked, 0, n+m)
	for _, v := range a {
		all = append(all, ranked{v, true})
	}
	for _, v := range b {
		all = append(all, ranked{v, false})
	}
	slices.SortFunc(all, func(x, y ranked) int { return cmp.Compare(x.v, y.v) })
	ranks, ties, tied := 0.0, 0.0, false
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		tied = tied || j-i > 1
		for k := i; k < j; k++ {
			if all[k].first {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	u := ranks - float64(n*(n+1))/2
	if !tied && n+m <= 40 {
		return exact(n, m, int(math.Round(min(u, float64(n*m)-u))))
	}
	mean := float64(n*m) / 2
	total := float64(n + m)
	variance := float64(n*m) / 12 * (total + 1 - ties/(total*(total-1)))
	if variance <= 0 {
		return 1
	}
	z := max(math.Abs(u-mean)-0.5, 0) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

// exact is twice the share of the arrangements of n and m samples whose U is at most u.
func exact(n, m, u int) float64 {
	// count[i][k] is the number of ways to have U = k with i of the first set among those looked at.
	count := make([][]float64, n+1)
	for i := range count {
		count[i] = make([]float64, n*m+1)
	}
	count[0][0] = 1
	for seen := 1; seen <= n+m; seen++ {
		for i := min(n, seen); i >= 1; i-- {
			if others := seen - i; others <= m { // this one is of the first set, above that many of the other
				for k := n * m; k >= others; k-- {
					count[i][k] += count[i-1][k-others]
				}
			}
		}
	}
	below, all := 0.0, 0.0
	for k, c := range count[n] {
		all += c
		if k <= u {
			below += c
		}
	}
	return min(2*below/all, 1)
}

// Holm corrects the probabilities of many tests, so that one of them is below a limit by chance no more often than the limit says, whatever they have
// to do with one another: neighbours on a host do to many benchmarks at once what they do to one.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	out := make([]float64, len(p))
	highest := 0.0
	for k, i := range order {
		highest = max(highest, min(p[i]*float64(len(p)-k), 1))
		out[i] = highest
	}
	return out
}

// Sign is the probability, of both sides, that of n throws of a coin so many are heads, or even fewer or more.
func Sign(heads, n int) float64 {
	k := min(heads, n-heads)
	p, ways := 0.0, math.Pow(0.5, float64(n))
	for i := 0; i <= k; i++ {
		p += ways
		ways *= float64(n-i) / float64(i+1)
	}
	return min(2*p, 1)
}
