package main

// The disk with Debian's riscv64 programs.

import (
	"context"

	"github.com/vmproject/vm/internal/debiandisk"
)

// debianDisk returns the image in dir, which is made if it is not there.
func debianDisk(ctx context.Context, dir, vmCache string) (string, error) {
	// What the benchmarks run.
	return debiandisk.Make(ctx, dir, vmCache, "1G",
		"base-files", "bash", "coreutils", "gcc", "libc6-dev", "openssl", "python3", "sqlite3", "xz-utils")
}
