package userland

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Command survives any shell, whatever the arguments hold.
func TestCommandQuotes(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this host")
	}
	args := []string{"printf", `%s\0`, "a b", "it's", `"`, "$HOME `id` $(id)", "", "\\", "new\nline", "*", "-n", "é"}
	out, err := exec.Command(sh, "-c", string(Command(args))+`"$@"`).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if !slices.Equal(got, args[2:]) {
		t.Errorf("%q became %q", args[2:], got)
	}
}

func TestParseExit(t *testing.T) {
	for line, want := range map[string]int{"exit 0": 0, "exit 3\n": 3, "exit 255": 255} {
		if got, err := ParseExit(line); err != nil || got != want {
			t.Errorf("%q: %d, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "exit", "exit ", "exit -1", "exit 256", "exit x", "leave 3"} {
		if _, err := ParseExit(line); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}

// The scripts are such that a shell can read them.
func TestScriptsParse(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this host")
	}
	for _, text := range [][]byte{Init, Run} {
		cmd := exec.Command(sh, "-n")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
