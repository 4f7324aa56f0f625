package main

// vm disk: images of disks, made, looked at and changed while no machine uses them.

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/storage/qcow2"
)

func newDisk(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk",
		Short: "Images of disks: raw, and qcow2 with backing files and snapshots",
		Long: `Images of disks, for machines to run with: vm run -d FILE.

An image's format is what -f says or, without it, what its name says: qcow2 where it ends in .qcow2, and raw otherwise. What the file
holds decides nothing, because a guest may have written it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDiskCreate(std), newDiskInfo(std), newDiskConvert(std), newDiskCheck(std), newDiskSnapshot(std),
		newDiskCommit(std), newDiskResize())
	return cmd
}

// formatFlag is the name of a format of files.
type formatFlag string

func (f *formatFlag) Set(s string) error {
	formats := []string{storage.FormatRaw, storage.FormatQcow2}
	for _, name := range formats {
		if s == name {
			*f = formatFlag(s)
			return nil
		}
	}
	return fmt.Errorf("a format called %q is not known%s: write raw or qcow2", s, bench.Near(s, formats))
}

func (f *formatFlag) String() string { return string(*f) }

func (*formatFlag) Type() string { return "raw|qcow2" }

// imageFlag is FILE[,raw|qcow2].
type imageFlag struct{ path, format string }

func (f *imageFlag) Set(s string) error {
	path, format, ok := s, "", false
	if i := strings.LastIndexByte(s, ','); i >= 0 {
		path, format, ok = s[:i], s[i+1:], true
	}
	if path == "" {
		return fmt.Errorf("no file is named")
	}
	var name formatFlag
	if ok {
		if err := name.Set(format); err != nil {
			return err
		}
	}
	f.path, f.format = path, string(name)
	return nil
}

func (f *imageFlag) String() string { return f.path }

func (*imageFlag) Type() string { return "FILE[,raw|qcow2]" }

// newImageFlags are those of commands that make an image.
type newImageFlags struct {
	format      formatFlag
	cluster     sizeFlag
	backing     imageFlag
	sector      int
	version     int
	compression string
}

func (f *newImageFlags) add(flags *pflag.FlagSet, format string) {
	flags.VarP(&f.format, strings.Fields(format)[1], strings.Fields(format)[0], "format of the new image (default by its name: qcow2 for .qcow2, otherwise raw)")
	flags.Var(&f.cluster, "cluster-size", "qcow2: cluster size, 512 to 2M (default 64K)")
	flags.IntVar(&f.version, "qcow2-version", 0, "qcow2: 2 or 3 (default 3)")
	flags.StringVar(&f.compression, "compression", "zlib", "qcow2: `KIND` of compressed clusters, zlib or zstd")
	flags.IntVar(&f.sector, "sector", 0, "logical sector that the image records for vm run, 512 or 4096 `BYTES` (default 4096, or that of what it is made from)")
}

func (f *newImageFlags) options(path string) (storage.CreateOptions, error) {
	o := storage.CreateOptions{
		Path: path, Format: string(f.format), Sector: f.sector, ClusterSize: int64(f.cluster), Version: f.version,
		Backing: f.backing.path, BackingFormat: f.backing.format,
	}
	switch f.compression {
	case "zlib":
	case "zstd":
		o.Compression = qcow2.Zstd
	default:
		return o, fmt.Errorf("a compression called %q is not known%s: write zlib or zstd", f.compression, bench.Near(f.compression, []string{"zlib", "zstd"}))
	}
	return o, nil
}

// sayUnrecorded tells what the file could not keep.
func sayUnrecorded(std stdio, path string, recorded bool) {
	if !recorded {
		fmt.Fprintf(std.err, "vm: %s has no place for its sector of 4096 bytes: run it with -d %s,sector=4096\n", path, path)
	}
}

func newDiskCreate(std stdio) *cobra.Command {
	var f newImageFlags
	cmd := &cobra.Command{
		Use:   "create [-f raw|qcow2] [-b BASE] FILE [SIZE]",
		Short: "Make an empty image, or one over another",
		Example: `  vm disk create disk.qcow2 10G
  vm disk create -b base.qcow2 mine.qcow2        # writes go to mine.qcow2; base.qcow2 is only read
  vm disk create -f raw disk.img 512M`,
		Args: wantArgs(1, "FILE", "SIZE"),
		RunE: func(_ *cobra.Command, args []string) error {
			o, err := f.options(args[0])
			if err != nil {
				return err
			}
			if len(args) > 1 {
				if o.Size, err = diskSize(args[1]); err != nil {
					return err
				}
			} else if o.Backing == "" {
				return fmt.Errorf("vm disk create needs a SIZE, as in 10G: see vm disk create --help")
			}
			recorded, err := storage.Create(o)
			if err == nil {
				sayUnrecorded(std, o.Path, recorded)
			}
			return err
		},
	}
	f.add(cmd.Flags(), "f format")
	cmd.Flags().VarP(&f.backing, "backing", "b", "backing file, relative to the new image, of that format (default by its name)")
	return cmd
}

// diskSize reads a size that a machine's disk can have.
func diskSize(s string) (int64, error) {
	var n sizeFlag
	if err := n.Set(s); err != nil {
		return 0, fmt.Errorf("size %q: %w", s, err)
	}
	if n > 1<<62 {
		return 0, fmt.Errorf("size %q: no disk has that much", s)
	}
	return int64(n), nil
}

func newDiskResize() *cobra.Command {
	var format formatFlag
	var shrink bool
	cmd := &cobra.Command{
		Use:   "resize [--shrink] FILE SIZE",
		Short: "Give a disk another size",
		Args:  wantArgs(2, "FILE", "SIZE"),
		RunE: func(_ *cobra.Command, args []string) error {
			size, err := diskSize(args[1])
			if err != nil {
				return err
			}
			return storage.Resize(storage.Options{Path: args[0], Format: string(format)}, size, shrink)
		},
	}
	cmd.Flags().VarP(&format, "format", "f", "format of the image (default by its name)")
	cmd.Flags().BoolVar(&shrink, "shrink", false, "allow a smaller size; what is cut off is lost")
	return cmd
}

// showProgress draws how far a command is, on a terminal.
func showProgress(std stdio, what string) (storage.Progress, func()) {
	p := guestimage.NewProgress(std.err)
	began := false
	return func(done, total int64) {
		if !began {
			p.Step(what, total)
			began = true
		}
		p.Set(done)
	}, p.End
}
