// Command vm boots RISC-V machines.
//
// One file a subcommand; what they do is in the packages they call. Here is what they share: errors become one line on stderr and
// an exit status (exit.go), and flags with a syntax of their own are types (flags.go).
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is where a command reads and writes. Tests have their own.
type stdio struct{ in, out, err *os.File }

// execute runs a command line and returns the exit status.
func execute(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, line := verdict(err)
	if line != "" {
		fmt.Fprintf(std.err, "vm: %s\n", line)
	}
	return code
}

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "vm",
		Short: "RISC-V machines: unmodified Linux, no root, no /dev/kvm",
		Example: `  vm run                          boot the default guest to a shell
  vm run -- uname -a              run one command in it
  vm run -d disk.img -m 2G -c 2   with a disk, more memory and two harts`,
		Args:               noArgs,
		RunE:               func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true,
		CompletionOptions:  cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(std), newImage(std), newVersion(std), newDoctor(std), newBench(std), newDisk(std))
	return root
}

// flagError says where the flags are listed.
func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
}

// noArgs is cobra.NoArgs with what to do about it.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s does not take %q: see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
