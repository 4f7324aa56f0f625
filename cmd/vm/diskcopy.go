package main

import (
	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/terminal"
)

func newDiskConvert(std stdio) *cobra.Command {
	var f newImageFlags
	var from formatFlag
	var compress, force bool
	cmd := &cobra.Command{
		Use:   "convert [-c] [-f raw|qcow2] [-O raw|qcow2] FROM TO",
		Short: "Copy a disk into a new image of another format",
		Long:  `Copy a disk into a new image, its backing files included. Zeros take no room. TO appears when it is whole and on the disk, or not at all.`,
		Example: `  vm disk convert disk.img disk.qcow2
  vm disk convert -c --compression zstd disk.qcow2 small.qcow2
  vm disk convert mine.qcow2 -O raw disk.img`,
		Args: wantArgs(2, "FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := f.options(args[1])
			if err != nil {
				return err
			}
			to.Replace = force
			ctx, stop := terminal.Notify(cmd.Context(), func() {})
			defer stop()
			progress, end := showProgress(std, "converting "+args[0])
			defer end()
			recorded, err := storage.Convert(ctx, storage.Options{Path: args[0], Format: string(from)}, to, compress, progress)
			if err == nil {
				sayUnrecorded(std, to.Path, recorded)
			}
			return err
		},
	}
	f.add(cmd.Flags(), "O output-format")
	cmd.Flags().VarP(&from, "format", "f", "format of FROM (default by its name)")
	cmd.Flags().BoolVarP(&compress, "compress", "c", false, "qcow2: compress the clusters")
	cmd.Flags().BoolVar(&force, "force", false, "replace TO if it is there")
	return cmd
}

func newDiskCommit(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "commit FILE",
		Short: "Write what an image holds into its backing file, and empty it",
		Args:  wantArgs(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := terminal.Notify(cmd.Context(), func() {})
			defer stop()
			progress, end := showProgress(std, "committing "+args[0])
			defer end()
			return storage.Commit(ctx, storage.Options{Path: args[0], Format: storage.FormatQcow2}, progress)
		},
	}
}
