package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/peer"
)

func TestParseLine(t *testing.T) {
	got, err := parseLine("pipe 3 1500 99", "pipe", 3, 99)
	if got != 1500 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for line, want := range map[string]string{
		"":                              "is not the line",
		"pipe":                          "is not the line",
		"pipe 3 1500":                   "is not the line",
		"pipe 3 1500 99 1":              "is not the line",
		"pipe 3 1500 99\r":              "is not the line",
		"pipe  3 1500 99":               "is not the line",
		"pipe 3 -1 99":                  "is not the line",
		"pipe 3 1.5 99":                 "is not the line",
		"pope 3 1500 99":                "is not the line",
		"pipe 2 1500 99":                "is about 2 times, want 3",
		"pipe 3 1500 98":                "wrong answer 98, want 99",
		"pipe 3 18446744073709551615 9": "the guest's clock went back",
		"pipe 3 18446744073709551616 9": "is not the line",
		"[ 1.2] oops: pipe 3 1500 99":   "is not the line",
	} {
		if _, err := parseLine(line, "pipe", 3, 99); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("pipe 3 1500 99")
	f.Fuzz(func(t *testing.T, line string) {
		if took, err := parseLine(line, "pipe", 3, 99); err == nil && (took < 0 || !strings.HasPrefix(line, "pipe ")) {
			t.Errorf("%q: %v", line, took)
		}
	})
}

func TestParseProgram(t *testing.T) {
	for _, answer := range []string{"", "memory 1|2 3"} {
		if took, err := parseProgram(strings.TrimSuffix("time 1 2500 0 "+answer, " "), answer); took != 2500 || err != nil {
			t.Errorf("%q: %v, %v", answer, took, err)
		}
	}
	for reply, want := range map[string]string{
		"":                 "is not the line",
		"time 1 2500":      "is not the line",
		"time 1 2500 256 ": "wrong answer 256, want 0",
		"time 1 2500 0":    `wrong answer "", want "42"`,
		"time 1 2500 0 43": `wrong answer "43", want "42"`,
	} {
		if _, err := parseProgram(reply, "42"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", reply, err, want)
		}
	}
}

func TestPlausible(t *testing.T) {
	for _, tt := range []struct {
		guest, host time.Duration
		want        bool
	}{
		{0, time.Millisecond, true},
		{time.Second, time.Second + 10*time.Millisecond, true},
		{time.Second, 2 * time.Second, true}, // the host was busy
		{2 * time.Second, time.Second, false},
		{time.Second, 10 * time.Second, false},
	} {
		if err := plausible(tt.guest, tt.host); (err == nil) != tt.want {
			t.Errorf("guest %v, host %v: %v", tt.guest, tt.host, err)
		}
	}
}

// fake is a session with a shell script for a machine.
func fake(t *testing.T, script string) *session {
	t.Helper()
	file := filepath.Join(t.TempDir(), "machine")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &session{machine: peer.VM(file, "", "", 64), dir: filepath.Join(t.TempDir(), "gone")}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Whatever a machine says instead of an answer is one error, in one line, and the next sample has a new machine.
func TestSampleErrors(t *testing.T) {
	const boots = "echo '[ 1.0] noise'; echo '@bench ready'; "
	w := work{name: "pipe"}
	answer := func(uint64) uint64 { return 99 }
	for name, tt := range map[string]struct{ script, want string }{
		"right":           {boots + `while read -r line; do printf 'noise\r\n@bench ok pipe 3 1500 99\r\n'; done`, ""},
		"right, in parts": {boots + `read -r line; printf '@ben'; sleep 0.05; printf 'ch ok pipe 3 15'; sleep 0.05; echo 00 99; cat`, ""},
		"no boot":         {"echo Kernel panic; exit 3", "booting vm: the machine ended: exit status 3; it said: Kernel panic"},
		"silent end":      {"exit 0", "booting vm: the machine ended; it said nothing"},
		"end over work":   {boots + "read -r line; echo oops; exit 4", "vm: work pipe 3: the machine ended: exit status 4; it said: [ 1.0] noise / @bench ready / oops"},
		"signal":          {boots + "read -r line; kill -9 $$", "the machine ended: signal: killed"},
		"failure":         {boots + "read -r line; echo '@bench fail status 1: bench: pipe: -11'; cat", "vm: work pipe 3: the guest says: status 1: bench: pipe: -11"},
		"garbage":         {boots + `read -r line; printf '@bench \033[2J\n'; cat`, `the guest says "\x1b[2J", which is no answer`},
		"other work":      {boots + "read -r line; echo '@bench ok fork 3 1500 99'; cat", `vm: "fork 3 1500 99" is not the line pipe`},
		"wrong answer":    {boots + "read -r line; echo '@bench ok pipe 3 1500 98'; cat", `vm: "pipe 3 1500 98": wrong answer 98, want 99`},
		"wrong clock":     {boots + "read -r line; echo '@bench ok pipe 3 150000000000 99'; cat", "vm: the guest's clock says 2m30s, the host's"},
		"flood":           {boots + "read -r line; exec yes", "vm: work pipe 3: it said more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t, tt.script)
			for range 2 {
				took, err := w.sample(t.Context(), s, 3, answer)
				switch {
				case tt.want == "" && (err != nil || took != 1500):
					if name == "right, in parts" && s.process == nil {
						continue // it answers once
					}
					t.Errorf("%v, %v", took, err)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n\r\033")):
					t.Errorf("%v, want %s", err, tt.want)
				case tt.want != "" && s.process != nil:
					t.Error("the machine is still there")
				}
				if name == "right, in parts" {
					break
				}
			}
		})
	}
}

// A machine that does not end by itself is ended when the sample is cancelled, whatever it does at the time.
func TestSampleCancelled(t *testing.T) {
	for name, script := range map[string]string{"boot": "exec cat", "work": "echo '@bench ready'; exec cat >/dev/null"} {
		t.Run(name, func(t *testing.T) {
			s := fake(t, script)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			for range 2 { // the second is cancelled before it begins
				_, err := (work{name: "pipe"}).sample(ctx, s, 1, func(uint64) uint64 { return 0 })
				if !errors.Is(err, context.DeadlineExceeded) || s.process != nil {
					t.Errorf("%v; machine %v", err, s.process)
				}
			}
		})
	}
}

func TestBootErrors(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"prompt":   {`printf '[    0.0] x\r\n~ # '; exec cat`, ""},
		"no shell": {"echo no init found; exit 125", "booting vm: the machine ended: exit status 125; it said: no init found"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t, tt.script)
			b := &userBoot{machine: s.machine}
			took, err := b.to(t.Context(), promptLine, nil)
			if tt.want == "" && (err != nil || took <= 0) || tt.want != "" && (err == nil || err.Error() != tt.want) {
				t.Errorf("%v, %v; want %q", took, err, tt.want)
			}
		})
	}
	for code, want := range map[int]string{0: "", 1: "booting vm: the machine ended: exit status 1; it said: said"} {
		b := &userBoot{machine: fake(t, fmt.Sprintf("echo said; exit %d", code)).machine}
		if took, err := b.command(t.Context()); took <= 0 || fmt.Sprint(err) != want && !(want == "" && err == nil) {
			t.Errorf("status %d: %v, %v", code, took, err)
		}
	}
}

func TestBootMarks(t *testing.T) {
	text := "\r\nOpenSBI v1.1\r\n[    0.000000] Linux version 6.12\r\n[    1.5] x\r\n[    0.812345] Run /.vm/init as init process\r\n~ # "
	for name, got := range map[string]string{
		"[    0.000000] Linux version 6.12": strings.TrimSpace(kernelLine.FindString(text)),
		"Run /.vm/init as init process":     initLine.FindString(text),
		"~ # ":                              promptLine.FindString(text),
	} {
		if got != name {
			t.Errorf("%q, want %q", got, name)
		}
	}
}

// Benchmarks have what a reader needs, and nothing is set up where nothing is.
func TestLinuxBenchmarks(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range linux() {
		if seen[b.Name] || b.Doc == "" || b.Unit.Name == "" || b.Setup == nil || b.Peer == nil || !strings.Contains(b.Name, "/") {
			t.Errorf("%+v", b)
		}
		seen[b.Name] = true
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	env := &bench.Env{VM: os.Args[0], QEMU: os.Args[0], Scratch: t.TempDir()}
	for _, b := range linux() {
		for _, setup := range []func(*bench.Env) (bench.Instance, error){b.Setup, b.Peer} {
			var unavailable *bench.UnavailableError
			if _, err := setup(env); !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "run ") && !strings.Contains(err.Error(), "/proc") {
				t.Errorf("%s without a guest: %v", b.Name, err)
			}
			if _, err := setup(&bench.Env{}); !errors.As(err, &unavailable) {
				t.Errorf("%s without a machine: %v", b.Name, err)
			}
		}
	}
	if left, err := os.ReadDir(env.Scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch folder: %v %v", left, err)
	}
}
