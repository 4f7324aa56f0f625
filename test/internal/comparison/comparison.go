// Package comparison is what the commands that compare vm with QEMU have in common: their flags, and how they begin and end.
package comparison

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

// Options are the flags that all of them have.
type Options struct {
	QEMU, Engine string
	Rounds       int
	Memory       int            // of a guest, MiB
	Run          *regexp.Regexp // names of what is to be measured
}

// Main is the main function of a command with that name. memory is the default of -m, MiB. The command's own flags have been defined; do does its work, and its error
// ends the process with status 1. Wrong flags end it with status 2.
func Main(name string, memory int, o *Options, do func(context.Context) error) {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	o.Run = regexp.MustCompile("")
	flag.StringVar(&o.QEMU, "qemu", "qemu-system-riscv64", "the QEMU `binary`; empty leaves it out")
	flag.StringVar(&o.Engine, "engine", "auto", "vm's `engine`")
	flag.IntVar(&o.Rounds, "n", 3, "rounds; the median counts")
	flag.IntVar(&o.Memory, "m", memory, "guest memory in `MiB`")
	flag.Func("run", "only what has a name that matches the `pattern`", func(s string) (err error) {
		o.Run, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 || o.Rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := do(ctx); err != nil {
		stop()
		log.Fatal(err)
	}
}
