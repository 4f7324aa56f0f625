package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/hostinfo"
	"github.com/vmproject/vm/internal/selftest"
)

// How long the self-test goes around, and how long it may take, a program.
const (
	doctorRounds = 1_000_000
	doctorLimit  = time.Minute
)

func newDoctor(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show what this host offers, and test each engine on it",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
			for _, f := range hostinfo.Gather() {
				fmt.Fprintf(t, "%s\t%s\n", f.Name, f.Value)
				if f.Note != "" {
					fmt.Fprintf(t, "\t  %s\n", f.Note)
				}
			}
			for _, e := range engines.All() {
				features, err := e.Try()
				switch {
				case err != nil:
					fmt.Fprintf(t, "engine %s\tno: %v\n\t  the interpreter runs in its place, several times slower\n", e.Name, err)
				case features != "":
					fmt.Fprintf(t, "engine %s\tyes: %s, with %s\n", e.Name, e.About, features)
				default:
					fmt.Fprintf(t, "engine %s\tyes: %s\n", e.Name, e.About)
				}
			}
			fmt.Fprintln(t, "\nENGINE\tSELF-TEST\tVERDICT\tSPEED")
			failed := 0
			for _, r := range selftest.Run(doctorRounds, doctorLimit) {
				verdict, speed := "ok", fmt.Sprintf("%.0f MIPS", r.MIPS())
				if r.Skipped != nil {
					fmt.Fprintf(t, "%s\t%s\tnot possible here\t\n", r.Engine, r.Program)
					continue
				}
				if r.Err != nil {
					verdict, speed = r.Err.Error(), ""
					failed++
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Engine, r.Program, verdict, speed)
			}
			if err := t.Flush(); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("the self-test failed in %d programs: report it with the output of vm doctor and vm version", failed)
			}
			return nil
		},
	}
}
