package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/storage/qcow2"
)

func newDiskInfo(std stdio) *cobra.Command {
	var format formatFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info [--json] FILE",
		Short: "Say what an image is",
		Args:  wantArgs(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := storage.Inspect(storage.Options{Path: args[0], Format: string(format)})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(std, n)
			}
			return printInfo(std, n)
		},
	}
	cmd.Flags().VarP(&format, "format", "f", "format of the image (default by its name)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func printJSON(std stdio, v any) error {
	e := json.NewEncoder(std.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printInfo(std stdio, n *storage.Info) error {
	t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	row := func(what string, value any) { fmt.Fprintf(t, "%s:\t%v\n", what, value) }
	size := func(n int64) string { return fmt.Sprintf("%s (%d bytes)", guestimage.FormatSize(n), n) }
	row("file", fmt.Sprintf("%q", n.Path))
	row("format", n.Format)
	row("disk", size(n.Size))
	row("on the host", size(n.HostSize))
	row("sector", fmt.Sprintf("%d bytes", n.Sector))
	if q := n.Qcow2; q != nil {
		row("version", q.Version)
		row("cluster", fmt.Sprintf("%d bytes", q.ClusterSize))
		row("refcounts", fmt.Sprintf("%d bits", q.RefcountBits))
		row("compression", q.Compression)
		if q.Backing != "" {
			format := q.BackingFormat
			if format == "" {
				format = "by its name"
			}
			row("backing file", fmt.Sprintf("%q, %s", q.Backing, format))
		}
		for flag, on := range map[string]bool{"lazy refcounts": q.LazyRefcounts} {
			if on {
				row(flag, "yes")
			}
		}
		if q.Dirty {
			row("not closed", "its refcounts are mended when it is opened next")
		}
		if q.Corrupt {
			row("damaged", "vm disk check --repair all")
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n.Qcow2 != nil && len(n.Qcow2.Snapshots) > 0 {
		fmt.Fprintln(std.out)
		return printSnapshots(std, n.Qcow2.Snapshots)
	}
	return nil
}

func printSnapshots(std stdio, list []qcow2.Snapshot) error {
	t := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tTAKEN\tDISK")
	for _, s := range list {
		fmt.Fprintf(t, "%q\t%q\t%s\t%s\n", s.ID, s.Name, s.Taken.Local().Format(time.DateTime), guestimage.FormatSize(s.Size))
	}
	return t.Flush()
}

func newDiskCheck(std stdio) *cobra.Command {
	var format formatFlag
	var repair string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [--repair leaks|all] [--json] FILE",
		Short: "Look for damage in a qcow2 image",
		Long: `Look for damage in a qcow2 image. Leaks are room that nothing uses; they do no harm. Damage is anything else.

Exit status: 0 when there is nothing, or nothing is left after a repair; 1 when there are leaks only; 2 when there is damage.`,
		Args: wantArgs(1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			how, ok := map[string]qcow2.Repair{"": qcow2.RepairNothing, "leaks": qcow2.RepairLeaks, "all": qcow2.RepairAll}[repair]
			if !ok {
				return fmt.Errorf("--repair %s: write leaks or all", repair)
			}
			o := storage.Options{Path: args[0], Format: string(format), ReadOnly: how == qcow2.RepairNothing}
			img, err := storage.OpenQcow2(o, true)
			if err != nil {
				return err
			}
			r, err := img.Check(how)
			if err = withFailure(err, img.Close()); err != nil {
				return fmt.Errorf("disk %s: %w", args[0], err)
			}
			if asJSON {
				err = printJSON(std, r)
			} else {
				for _, m := range r.Messages {
					fmt.Fprintln(std.out, m)
				}
				_, err = fmt.Fprintf(std.out, "damage %d, leaks %d, repaired %d; %d of %d clusters are here, %d of them compressed\n",
					r.Corruptions, r.Leaks, r.Repaired, r.Allocated, r.Total, r.Compressed)
			}
			switch {
			case err != nil:
				return err
			case r.Corruptions > 0:
				return guestExit(2)
			case r.Leaks > 0:
				return guestExit(1)
			}
			return nil
		},
	}
	cmd.Flags().VarP(&format, "format", "f", "format of the image (default by its name)")
	cmd.Flags().StringVar(&repair, "repair", "", "mend `WHAT`: leaks or all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}
