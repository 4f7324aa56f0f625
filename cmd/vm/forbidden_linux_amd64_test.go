package main

// Hosts that forbid generated code: the command in a child that has forbidden itself what such a host does.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/testtool"
)

// policyVariable is in the environment of a child: what it has to forbid itself before it is the command.
const policyVariable = "VM_TEST_POLICY"

// exitUnfiltered: this host cannot be made to forbid anything.
const exitUnfiltered = 99

func TestMain(m *testing.M) {
	if policy := os.Getenv(policyVariable); policy != "" {
		if err := testtool.Forbid(testtool.Policy(policy)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitUnfiltered)
		}
		os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
	}
	os.Exit(m.Run())
}

// forbidden runs the command on a host with a policy.
func forbidden(t *testing.T, policy testtool.Policy, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), policyVariable+"="+string(policy))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	os.Remove(fmt.Sprintf("/tmp/perf-%d.map", cmd.Process.Pid)) // of --perfmap, which has nothing to name
	if code = cmd.ProcessState.ExitCode(); code == exitUnfiltered {
		t.Skip("this host has no seccomp filters: ", errs.String())
	}
	return code, out.String(), errs.String()
}

// A guest runs all the same, on any number of harts, and one line tells why it is slow.
func TestForbiddenCodeIsOneWarningAndTheInterpreter(t *testing.T) {
	a := asm.New(0x8000_0000)
	a.CSR(riscv.CSRRS, asm.T0, riscv.CSRMhartid, asm.Zero)
	a.Label("wait")
	a.B(riscv.BNE, asm.T0, asm.Zero, "wait")
	a.Li(asm.T0, 0x1000_0000)
	a.Li(asm.T1, 'k')
	a.Store(riscv.SB, asm.T1, 0, asm.T0)
	a.Li(asm.T0, 0x10_0000)
	a.Li(asm.T1, 7<<16|0x3333)
	a.Store(riscv.SW, asm.T1, 0, asm.T0)
	a.J("wait")
	program, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	bios := filepath.Join(t.TempDir(), "bios")
	if err := os.WriteFile(bios, program, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, policy := range []testtool.Policy{testtool.NoExecMappings, testtool.NoMemfd} {
		for _, args := range []string{"", "--engine jit -c 4", "--engine auto -c 2", "--engine jit --perfmap -c 2", "--engine interp"} {
			code, stdout, stderr := forbidden(t, policy, append(strings.Fields("run -m 16M -b "+bios), strings.Fields(args)...)...)
			if code != 7 || stdout != "k" {
				t.Errorf("%s, %q: status %d, stdout %q, stderr %q; want 7 and k", policy, args, code, stdout, stderr)
			}
			want := 1
			if args == "--engine interp" {
				want = 0
			}
			if strings.Count(stderr, "\n") != want || want == 1 && !(strings.Contains(stderr, "level=WARN") && strings.Contains(stderr, "interpreter")) {
				t.Errorf("%s, %q: stderr %q; want %d warning", policy, args, stderr, want)
			}
		}
	}
}

func TestDoctorOnAHostThatForbids(t *testing.T) {
	if testing.Short() {
		t.Skip("runs tens of millions of guest instructions")
	}
	code, stdout, stderr := forbidden(t, testtool.NoExecMappings, "doctor")
	if code != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q", code, stderr)
	}
	for _, want := range []string{"engine jit     no: ", "the interpreter runs in its place", "not possible here"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}
