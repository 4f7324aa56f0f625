package promise

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/suite"
)

func TestStates(t *testing.T) {
	r := &bench.Result{Rows: []bench.Row{
		{Name: "a", Unit: "ns/op", Passes: [][]float64{{10}}, Peer: [][]float64{{40}}},
		{Name: "b", Unit: "B/s", Higher: true, Limit: "c", Passes: [][]float64{{90}}},
		{Name: "c", Unit: "B/s", Higher: true, Passes: [][]float64{{100}}},
		{Name: "d", Unit: "%", Passes: [][]float64{{2}}},
	}}
	list, err := Parse("a qemu >= 3 four times # a note\n\na qemu >= 5 not five\nb limit >= 0.8 near the limit\nc qemu >= 1 without a peer\nd itself <= 3 idle\nnone qemu >= 1 not there\nb c >= 0.95 of c\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []State{Kept, Broken, Kept, Unknown, Kept, Unknown, Broken}
	checks := CheckAll(r, list)
	for i, c := range checks {
		if c.State != want[i] {
			t.Errorf("%s: %v (%v, %s), want %v", c.Text, c.State, c.Value, c.Why, want[i])
		}
	}
	var b bytes.Buffer
	if broken, err := Write(&b, checks); broken != 2 || err != nil || !strings.Contains(b.String(), "at least 5 times qemu") {
		t.Errorf("%d broken, %v:\n%s", broken, err, b.String())
	}
}

func TestBadLines(t *testing.T) {
	for _, line := range []string{"a qemu", "a qemu > 3 text", "a qemu >= x text", "a qemu >= -1 text"} {
		if _, err := Parse(line); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// Every promise is of a benchmark that there is, with the peer it names.
func TestPromisesCanBeMeasured(t *testing.T) {
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bench.Benchmark{}
	for _, b := range suite.All() {
		all[b.Name] = b
	}
	for _, p := range list {
		b, ok := all[p.Benchmark]
		if !ok || p.To == "qemu" && b.Peer == nil {
			t.Errorf("%s against %s cannot be measured", p.Benchmark, p.To)
		}
	}
}
