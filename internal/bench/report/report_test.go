package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

const hostile = `<script>alert("x")</script>'"&`

func result(at time.Time, by float64) *bench.Result {
	row := func(name string, values ...float64) bench.Row {
		r := bench.Row{Name: name, Doc: "Does " + name + ".", Unit: "ns/op", Times: 100}
		for p := range 3 {
			var pass []float64
			for i, v := range values {
				pass = append(pass, by*(v+float64(p)/10+float64(i)/20))
			}
			r.Passes = append(r.Passes, pass)
		}
		return r
	}
	r := &bench.Result{Format: bench.Format, Started: at, Took: time.Minute, Complete: true, Command: []string{"vm", "bench"}, Host: bench.Host{CPU: hostile, Cores: 2, OS: "linux/amd64", Kernel: "6.1"}}
	peer := row("guest/syscall", 100, 101, 99, 103)
	peer.PeerName, peer.Peer, peer.Limit = "qemu", [][]float64{{400, 410, 390}, {402, 405}}, "memory/limit"
	rate := row("memory/rate", 1e9, 2e9, 3e9)
	rate.Unit, rate.Higher = bench.BytesPerSec.Name, true
	r.Rows = []bench.Row{row("memory/load", 1, 1.1, 0.9), rate, row("memory/speeds", 10, 10, 11, 10, 30, 31, 30, 30), row("memory/limit", 90, 91), peer, {Name: "guest/" + hostile, Unit: "ns/op", Failed: "it printed " + hostile}, row("guest/same", 5), {Name: "tlb/none", Unit: "ns/op", Unavailable: "not on this host"}}
	return r
}

func full() *Page {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := result(now.Add(-24*time.Hour), 0.9)
	return &Page{Result: result(now, 1), Baseline: old, History: []*bench.Result{result(now.Add(-48*time.Hour), 1.1), old},
		Verdicts: map[string]Verdict{"memory/load": {Bad, "slower, +11 %"}, "guest/same": {Neutral, "the same"}, "guest/syscall": {Doubt, "too noisy"}, "memory/limit": {Good, "faster"}},
		Promises: []Promise{{"system calls " + hostile, "at least 3 times qemu", "4", Good, "kept"}, {"double", "at least 8 times qemu", "2", Bad, "broken"}}}
}

func text(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageSaysEverything(t *testing.T) {
	page := text(t, full())
	for _, want := range []string{"memory/load", "slower, &#43;11 %", "is promised to be at least 8 times qemu, and is 2", "vm bench run memory/load", "4.0", "the median of each run by its date", "failed: it printed", "1 in doubt", "1 with two speeds", `<td data-label="p99" class="number">954 MiB/s</td>`, "not on this host", "times qemu", "prefers-color-scheme: dark"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if strings.Contains(page, `<script>alert`) {
		t.Error("text of a file is code on the page")
	}
	if regexp.MustCompile(`(src|href)="?(https?:)?//`).MatchString(page) {
		t.Error("the page needs a network")
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	for i, plot := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text(t, full()), -1) {
		d := xml.NewDecoder(strings.NewReader(plot))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("plot %d: %v\n%s", i, err, plot)
			}
		}
		if strings.Contains(plot, "NaN") || strings.Contains(plot, "Inf") {
			t.Errorf("plot %d: %s", i, plot)
		}
	}
}

func TestLittleToShow(t *testing.T) {
	now := time.Now()
	one := &bench.Result{Started: now, Rows: []bench.Row{{Name: "a/b", Unit: "ns/op", Passes: [][]float64{{5}}}, {Name: "a/zero", Unit: "B", Passes: [][]float64{{0, 0}, {0}}}}}
	for name, p := range map[string]*Page{"nothing": {Result: &bench.Result{}}, "one sample": {Result: one}} {
		if page := text(t, p); !strings.Contains(page, "Not complete") || strings.Contains(page, "NaN") {
			t.Errorf("%s: %.200s", name, page)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, values := range [][]float64{{0, 1}, {5, 5}, {0, 0}, {1e-9, 2e-9}, {1, 1e12}, {-3, 7}, {999.9, 1000.1}, {math.NaN(), 3}, {}} {
		a := around(values, 0, 100)
		list := a.ticks(4)
		if len(list) < 1 || len(list) > 12 {
			t.Errorf("%v: ticks %v", values, list)
		}
		for i, v := range list {
			if at := a.at(v); at < -1 || at > 101 || i > 0 && v <= list[i-1] {
				t.Errorf("%v: tick %v is at %v", values, v, at)
			}
		}
	}
}
