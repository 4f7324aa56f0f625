package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// fake is a benchmark whose samples are given.
func fake(name string, sample func(n int) (float64, error)) Benchmark {
	return Benchmark{Name: name, Unit: NsPerOp, Setup: func(*Env) (Instance, error) {
		return Sampled(func(_ context.Context, n int) (float64, error) { return sample(n) }), nil
	}}
}

func quick() Options { return Options{Passes: 2, Sample: time.Nanosecond, Each: time.Millisecond} }

func TestRunGoesOn(t *testing.T) {
	wrong := errors.New("wrong answer")
	peer := fake("peer", func(int) (float64, error) { return 20, nil })
	peer.Peer = func(*Env) (Instance, error) {
		return Sampled(func(context.Context, int) (float64, error) { return 0, errors.New("it does not boot") }), nil
	}
	both := fake("both", func(int) (float64, error) { return 10, nil })
	both.Peer = both.Setup
	list := []Benchmark{
		fake("good", func(n int) (float64, error) { return 7, nil }),
		fake("bad", func(n int) (float64, error) { return 0, wrong }),
		{Name: "none", Unit: NsPerOp, Setup: func(*Env) (Instance, error) { return nil, Unavailable("no %s here", "such thing") }},
		{Name: "panics", Unit: NsPerOp, Setup: func(*Env) (Instance, error) { panic("oh") }},
		{Name: "whole", Unit: Seconds, Whole: true, Setup: fake("", func(n int) (float64, error) { return float64(n), nil }).Setup},
		peer, both,
	}
	var seen []string
	o := quick()
	o.Progress = func(p Progress) { seen = append(seen, p.Name) }
	r, err := Run(t.Context(), &Env{QEMU: "qemu"}, list, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete || len(r.Rows) != len(list) || len(seen) != len(list)+4 {
		t.Errorf("complete %v, %d rows, %v", r.Complete, len(r.Rows), seen)
	}
	if g := r.Row("good"); len(g.Passes) != 2 || len(g.Passes[0]) < minSamples || g.Passes[1][0] != 7 {
		t.Errorf("%+v", g)
	}
	if w := r.Row("whole"); len(w.Samples()) != 2 || w.Samples()[0] != 1 {
		t.Errorf("%+v", w)
	}
	if b := r.Row("both"); len(b.PeerSamples()) < minSamples || b.PeerName == "" {
		t.Errorf("%+v", b)
	}
	for name, why := range map[string]string{"bad": r.Row("bad").Failed, "none": r.Row("none").Unavailable, "panics": r.Row("panics").Failed, "peer": r.Row("peer").PeerFailed} {
		want := map[string]string{"bad": "wrong answer", "none": "no such thing here", "panics": "cannot be set up: oh", "peer": "does not boot"}[name]
		if !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", name, why, want)
		}
	}
	if p := r.Row("peer"); len(p.Samples()) == 0 || p.Failed != "" {
		t.Errorf("a peer that fails takes the row with it: %+v", p)
	}
}

func TestAMissingPeerIsSaidOfItsRowsOnly(t *testing.T) {
	with, without := fake("with", func(int) (float64, error) { return 1, nil }), fake("without", func(int) (float64, error) { return 1, nil })
	with.Peer = with.Setup
	r, err := Run(t.Context(), &Env{NoPeer: "it is not on PATH"}, []Benchmark{with, without}, quick())
	if err != nil || !r.Complete || r.Row("with").PeerFailed != "it is not on PATH" || len(r.Row("with").Samples()) == 0 || r.Row("without").PeerFailed != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestInterruptedRunKeepsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list := []Benchmark{
		fake("first", func(int) (float64, error) { return 1, nil }),
		fake("second", func(int) (float64, error) { cancel(); return 0, ctx.Err() }),
		fake("third", func(int) (float64, error) { return 3, nil }),
	}
	r, err := Run(ctx, &Env{}, list, quick())
	if err != nil || r.Complete || len(r.Row("first").Samples()) == 0 || r.Row("second").Failed != "" || len(r.Row("third").Samples()) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCalibration(t *testing.T) {
	for _, each := range []time.Duration{10 * time.Microsecond, 3 * time.Millisecond} {
		s := &side{instance: Timed(func(n int) error {
			for began := time.Now(); time.Since(began) < each*time.Duration(n); {
			}
			return nil
		})}
		if err := s.prepare(t.Context(), false, 2*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if took := each * time.Duration(s.times); took < time.Millisecond || took > 30*time.Millisecond {
			t.Errorf("%v each: %d times", each, s.times)
		}
	}
}

func TestFormatValue(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{1250, "ns/op", "1.25 µs"}, {0.7, "ns/op", "0.700 ns"}, {2.5, "sec/op", "2.50 s"}, {90, "sec/op", "1.50 min"}, {3 << 30, "B/s", "3.00 GiB/s"},
		{512, "B", "512 B"}, {4.5e9, "inst/s", "4.50 G/s"}, {2.345, "%", "2.35 %"}, {0, "ns/op", "0 ns"}, {12.34, "B/B", "12.3 B/B"},
	} {
		if got := FormatValue(c.v, c.unit); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
