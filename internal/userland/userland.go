// Package userland is the small user space of the default guest: an init script that runs one command, or a shell, and tells
// the host how it ended. It is what package initramfs puts in front of a static busybox.
package userland

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// Names of the virtio-console ports between init and the host.
const (
	PortConsole = "vm.console" // the interactive shell; hvc0
	PortControl = "vm.control" // guest to host: TerminalOpen, then "exit N"
	PortStdin   = "vm.stdin"
	PortStdout  = "vm.stdout"
	PortStderr  = "vm.stderr"
)

// TerminalOpen is the line on the control port by which init says that the shell's terminal takes input.
const TerminalOpen = "terminal"

// Init and Run are the texts of two shell scripts: what the kernel starts, and what busybox's init then runs.
//
//go:embed init.sh
var Init []byte

//go:embed run.sh
var Run []byte

// Where the files of this package go: a place that no distribution's initramfs uses, so that they can follow the user's own.
const (
	Dir         = "/.vm"
	InitPath    = Dir + "/init"
	RunPath     = Dir + "/run"
	CommandPath = Dir + "/command" // what Command returns; without it, a shell runs
	LoadPath    = Dir + "/load"    // names of the kernel modules to load at once, one a line, in order
	StdinPath   = Dir + "/stdin"   // its presence connects the command to PortStdin
)

// KernelArgs are the words of the kernel's command line that go with Init, which runs a command or else a shell. A kernel that others have
// tested need not test its ciphers.
func KernelArgs(command, tested bool) []string {
	words := []string{
		"earlycon=sbi", // lets the kernel say why it panics even before it has found the serial port
		"rdinit=" + InitPath,
		"panic=-1", // resets the machine, which is how the board learns of it
	}
	if tested {
		words = append(words, "cryptomgr.notests") // they take more than a third of the time to a command; with fips=1 they run all the same
	}
	if command {
		words = append(words, "quiet")
	}
	return words
}

// ModulesDir is where kernel modules go, with the files that modprobe reads; init links the kernel's version to it.
const ModulesDir = "/lib/modules/vm"

// Command is the contents of CommandPath: shell code that sets the positional parameters to args, whatever they contain.
func Command(args []string) []byte {
	var b strings.Builder
	b.WriteString("set --")
	for _, a := range args {
		b.WriteString(" '")
		b.WriteString(strings.ReplaceAll(a, "'", `'\''`))
		b.WriteString("'")
	}
	b.WriteString("\n")
	return []byte(b.String())
}

// ParseExit reads a line of the control port.
func ParseExit(line string) (code int, err error) {
	arg, ok := strings.CutPrefix(strings.TrimSpace(line), "exit ")
	if !ok {
		return 0, fmt.Errorf("unknown message %q from the guest's init", line)
	}
	code, err = strconv.Atoi(arg)
	if err != nil || code < 0 || code > 255 {
		return 0, fmt.Errorf("exit status %q of the guest's command is not a number from 0 to 255", arg)
	}
	return code, nil
}
