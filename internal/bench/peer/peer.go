// Package peer runs whole machines as processes: vm, and QEMU's qemu-system-riscv64, which vm is held against. Both boot the same kernel with the same
// command line, initial file system, disk and programs, on one hart.
//
//	peer.go      the peer, found
//	machine.go   command lines of both machines
//	process.go   a machine that runs: what it is told, what it says, its end
//	guest.go     what they boot
//	programs.go  Debian's programs as work
package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"time"
)

// Program is QEMU's.
const Program = "qemu-system-riscv64"

// Found is a peer that is there.
type Found struct {
	Path    string
	Version string // 7.2.22
}

var versionForm = regexp.MustCompile(`QEMU emulator version ([0-9][0-9A-Za-z.+~-]*)`)

// Find looks for the peer on PATH. The error is a line that says what is missing.
func Find(ctx context.Context) (Found, error) { return find(ctx, Program) }

func find(ctx context.Context, program string) (Found, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return Found{}, fmt.Errorf("%s is not on PATH: it is in Debian's package qemu-system-misc, or qemu-system-riscv", Program)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errSilent)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return Found{}, fmt.Errorf("%s --version: %w; %s", path, err, said(out))
	}
	version := versionForm.FindSubmatch(out)
	if version == nil {
		return Found{}, fmt.Errorf("%s --version does not name QEMU's version; %s", path, said(out))
	}
	return Found{path, string(version[1])}, nil
}

var (
	errSilent = errors.New("it took too long")
	errEnded  = errors.New("the machine ended")
)
