// Package testtool finds the host's programs that tests use as oracles. Where one is missing the test is skipped, and says which
// Debian package has it; in CI (environment variable CI) it fails instead, so that nothing is skipped unseen.
package testtool

import (
	"os"
	"os/exec"
	"testing"
)

// Find returns the path of a program, which the Debian package pkg holds.
func Find(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program, pkg)
	}
	return path
}

// Missing skips the test, or fails it in CI, for want of what.
func Missing(t testing.TB, what, pkg string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing, and CI has to have it: install the Debian package %s", what, pkg)
	}
	t.Skipf("%s is missing: install the Debian package %s", what, pkg)
}
