package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/storage/qcow2"
)

func newDiskSnapshot(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Snapshots inside a qcow2 image",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use:   "list FILE",
		Short: "List the snapshots",
		Args:  wantArgs(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := storage.Inspect(storage.Options{Path: args[0], Format: storage.FormatQcow2})
			if err != nil {
				return err
			}
			return printSnapshots(std, n.Qcow2.Snapshots)
		},
	}
	cmd.AddCommand(list,
		snapshotCommand("create FILE NAME", "Keep what the disk holds now", (*qcow2.Image).TakeSnapshot),
		snapshotCommand("apply FILE NAME", "Make the disk what it was; what it is now is lost", (*qcow2.Image).ApplySnapshot),
		snapshotCommand("delete FILE NAME", "Forget a snapshot", (*qcow2.Image).DeleteSnapshot))
	return cmd
}

func snapshotCommand(use, short string, do func(*qcow2.Image, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  wantArgs(2, "FILE", "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			img, err := storage.OpenQcow2(storage.Options{Path: args[0], Format: storage.FormatQcow2}, false)
			if err != nil {
				return err
			}
			err = do(img, args[1])
			if errors.Is(err, qcow2.ErrNoSnapshot) {
				var names []string
				for _, s := range img.Snapshots() {
					names = append(names, s.Name)
				}
				err = fmt.Errorf("%w%s: vm disk snapshot list shows all", err, bench.Near(args[1], names))
			}
			if err = withFailure(err, img.Close()); err != nil {
				return fmt.Errorf("disk %s: %w", args[0], err)
			}
			return nil
		},
	}
}
