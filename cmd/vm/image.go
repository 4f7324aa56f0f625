package main

import (
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/terminal"
)

func newImage(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Guests: kernels and user space, kept in the user's cache folder",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImagePull(std), newImageList(std), newImageRemove(), newImageImport(std))
	return cmd
}

func newImagePull(std stdio) *cobra.Command {
	o := guestimage.PullOptions{}
	level := levelFlag(slog.LevelWarn)
	cmd := &cobra.Command{
		Use:   "pull [NAME]",
		Short: "Fetch Debian's riscv64 kernel and busybox with apt-get, verified",
		Long: `Fetch Debian's riscv64 kernel and busybox with apt-get, verified by the signatures of the Debian archive.

The mirror is the one that this host's apt configuration names. apt-get runs with its own lists, cache and status,
as the user who calls it; the host's apt state does not change.`,
		Args: wantArgs(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := guestimage.Open("")
			if err != nil {
				return err
			}
			if len(args) > 0 {
				o.Name = args[0]
			}
			ctx, stop := terminal.Notify(cmd.Context(), func() {})
			defer stop()
			o.Progress, o.Log = guestimage.NewProgress(std.err), newLog(std.err, level)
			m, err := c.Pull(ctx, o)
			if err != nil {
				return err
			}
			return printImages(std, m)
		},
	}
	cmd.Flags().StringVar(&o.Mirror, "mirror", "", "address of a Debian archive (default the one in this host's apt configuration)")
	cmd.Flags().StringVar(&o.Suite, "suite", guestimage.DefaultSuite, "Debian release")
	cmd.Flags().Var(&level, "log-level", "what to tell on stderr: debug, info, warn, error")
	return cmd
}

func newImageList(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the images that are here",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := guestimage.Open("")
			if err != nil {
				return err
			}
			images, damaged := c.List()
			if err := printImages(std, images...); err != nil {
				return err
			}
			return damaged
		},
	}
}

func newImageRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove an image",
		Args:  wantArgs(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := guestimage.Open("")
			if err != nil {
				return err
			}
			return c.Remove(cmd.Context(), args[0])
		},
	}
}

func newImageImport(std stdio) *cobra.Command {
	var o guestimage.ImportOptions
	cmd := &cobra.Command{
		Use:   "import NAME --kernel FILE [--busybox FILE] [--modules DIR]",
		Short: "Make an image of files that are here",
		Args:  wantArgs(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Kernel == "" {
				return fmt.Errorf("no kernel is named: add --kernel FILE")
			}
			c, err := guestimage.Open("")
			if err != nil {
				return err
			}
			ctx, stop := terminal.Notify(cmd.Context(), func() {})
			defer stop()
			o.Name = args[0]
			m, err := c.Import(ctx, o)
			if err != nil {
				return err
			}
			return printImages(std, m)
		},
	}
	cmd.Flags().StringVar(&o.Kernel, "kernel", "", "RISC-V Linux kernel: Image, plain or compressed, or ELF")
	cmd.Flags().StringVar(&o.Busybox, "busybox", "", "static busybox for riscv64 (default none: the image has no user space)")
	cmd.Flags().StringVar(&o.Modules, "modules", "", "folder with the kernel's modules, such as lib/modules/VERSION")
	return cmd
}

// wantArgs wants so many arguments at least, and no more than have names.
func wantArgs(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > len(names):
			return fmt.Errorf("%s does not take %q: see %s --help", cmd.CommandPath(), args[len(names)], cmd.CommandPath())
		case len(args) < least:
			return fmt.Errorf("%s needs a %s: see %s --help", cmd.CommandPath(), names[len(args)], cmd.CommandPath())
		}
		return nil
	}
}

// shortDigest is how many digits of a digest a person needs.
const shortDigest = 12

func printImages(std stdio, images ...*guestimage.Manifest) error {
	t := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NAME\tKERNEL\tSIZE\tCREATED\tDIGEST")
	for _, m := range images {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.KernelVersion, guestimage.FormatSize(m.Size()),
			m.Created.Local().Format(time.DateTime), m.Digest()[:shortDigest])
	}
	return t.Flush()
}
