package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/terminal"
)

// runFlags are the flags of vm run.
type runFlags struct {
	cfg     vm.Config
	memory  sizeFlag
	cpus    countFlag
	disks   disksFlag
	files   filesFlag
	huge    sizeFlag
	numa    numaFlag
	image   string
	timeout time.Duration
	level   levelFlag
	symbols symbolsFlag
	dump    dumpFlag
}

func newRun(std stdio) *cobra.Command {
	f := runFlags{memory: 512 << 20, cpus: 1, level: levelFlag(slog.LevelWarn)}
	cmd := &cobra.Command{
		Use:   "run [flags] [-- COMMAND ARG...]",
		Short: "Boot a machine to a shell, or to run one command",
		Long: `Boot a machine.

Without COMMAND the terminal is the machine's console, and Ctrl-A x ends it (Ctrl-A h lists the keys); a standard input that is no
terminal feeds the console too, and its end ends the shell of the image. With COMMAND its output is vm's, standard input
reaches it when that is no terminal, and vm exits with its exit status.

Exit status: the guest's own; 124 when --timeout passed; 125 when vm itself failed; 128+N when signal N ended vm.`,
		Example: `  vm run
  vm run -- sh -c 'exit 3'; echo $?
  vm run -k Image -i initrd.img -a 'console=ttyS0'
  vm run -d disk.img,snapshot -- mount /dev/vda /mnt
  vm run -- cat /proc/kallsyms >kernel.sym
  perf record vm run --perfmap --symbols kernel.sym -- make-it-slow; perf report`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.timeout < 0 {
				return fmt.Errorf("timeout %s: a time from now is needed, as in 90s", f.timeout)
			}
			if sum := f.numa.memory(); sum != 0 && !cmd.Flags().Changed("memory") {
				f.memory = sizeFlag(sum)
			}
			return f.run(cmd.Context(), args, std)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false) // the first word that is no flag begins COMMAND, with or without --
	flags.StringVarP(&f.cfg.Kernel, "kernel", "k", "", "RISC-V Linux Image (plain, gzip, zstd, EFI stub) or ELF `FILE` (default the image's)")
	flags.StringVarP(&f.cfg.Initrd, "initrd", "i", "", "initial RAM disk `FILE` (default made from the image)")
	flags.StringVarP(&f.cfg.Append, "append", "a", "", "add `STRING` to the kernel command line")
	flags.StringVar(&f.cfg.MMU, "mmu", "sv39", "paging `MODE` that Linux is asked to use: sv39 (the fastest), sv48, sv57")
	flags.StringVarP(&f.cfg.Bios, "bios", "b", "", "ELF or flat `FILE` entered in M-mode at 0x80000000 (default the built-in SBI)")
	flags.VarP(&f.memory, "memory", "m", "guest memory")
	flags.VarP(&f.cpus, "cpus", "c", "harts, 1 to 8")
	flags.Var(&f.huge, "hugepages", "make guest memory of pages of this size from the host's pool of huge pages: 2M, 1G")
	flags.BoolVar(&f.cfg.Prefault, "prefault", false, "commit all guest memory before the guest starts")
	flags.BoolVar(&f.cfg.Balloon, "balloon", false, "give memory that the guest has free back to the host")
	flags.Var(&f.numa, "numa", "a memory node of the guest, as in cpus=0-1,mem=1G,host=0,policy=bind: its harts, its size, and the host's nodes it lies on by a policy (local, interleave, preferred, bind); repeatable")
	flags.VarP(&f.disks, "disk", "d", "disk image, or memory:SIZE; options format=raw|qcow2, cache=writeback|writethrough|none|unsafe, readonly, snapshot, sector=512|4096, bus=pci|mmio, queues=N, [read-|write-]iops=N[/BURST], [read-|write-]bps=N[/BURST]; repeatable")
	flags.Var(&f.files, "file", "put a host file or folder into the guest; repeatable")
	flags.StringVar(&f.image, "image", guestimage.DefaultName, "`NAME` of the image to boot, as vm image ls has it")
	flags.StringVar(&f.cfg.Engine, "engine", "auto", "execution engine: "+strings.Join(engines.Names(), ", "))
	flags.StringVar(&f.cfg.JIT, "jit", "", "settings of the translator: `NAME=VALUE[,...]` of tier, mirror, keep, code, block, region, every, warm, threshold")
	flags.StringVar(&f.cfg.DTB, "dtb", "", "device tree blob `FILE` (default generated)")
	flags.StringVar(&f.cfg.DumpDTB, "dump-dtb", "", "write the device tree to `FILE`")
	flags.BoolVar(&f.cfg.NoReboot, "no-reboot", false, "end when the guest reboots")
	flags.DurationVar(&f.timeout, "timeout", 0, "end the machine after this time, with exit status 124 (default never)")
	flags.Var(&f.level, "log-level", "what to tell on stderr: debug, info, warn, error")
	flags.BoolVar(&f.cfg.Stats, "stats", false, "print what the machine did, on stderr, at its end; what is counted for it costs some speed")
	flags.BoolVar(&f.cfg.PerfMap, "perfmap", false, "name generated code for Linux perf by guest symbols, in /tmp/perf-PID.map")
	flags.Var(&f.symbols, "symbols", "names for --perfmap and --dump-code: an ELF file, loaded at ADDR, or a guest's /proc/kallsyms; repeatable")
	flags.Var(&f.dump, "dump-code", "list the translations of both tiers with an instruction at PC, a hexadecimal guest address, on stderr; repeatable")
	return cmd
}

// run boots one machine and returns how it ended: nil, guestExit, or what ended it.
func (f *runFlags) run(ctx context.Context, command []string, std stdio) (err error) {
	console := terminal.NewConsole(std.in, std.out, std.err)
	defer func() { err = withFailure(err, console.Restore()) }()
	ctx, stop := terminal.Notify(ctx, func() { _ = console.Restore() })
	defer stop()
	log := newLog(console.Messages(), f.level)

	cfg := f.cfg
	cfg.Memory, cfg.CPUs, cfg.Disks, cfg.Files = uint64(f.memory), int(f.cpus), f.disks, f.files
	cfg.Command, cfg.Log = command, log
	cfg.HugePages, cfg.NUMA = uint64(f.huge), f.numa
	if dir, err := guestimage.DefaultDir(); err == nil {
		cfg.Keep = filepath.Join(dir, "translations")
	}
	if terminal.IsTerminal(std.err) {
		bar := guestimage.NewProgress(std.err)
		defer bar.End()
		cfg.Progress = prefaultProgress(bar)
	}
	cfg.Symbols = f.symbols
	cfg.DumpCode = &vm.DumpCode{At: f.dump.at, All: f.dump.all, To: console.Messages()}
	cfg.Stdout, cfg.Stderr = std.out, std.err
	if slog.Level(f.level) <= slog.LevelDebug {
		cfg.KernelLog = console.Messages()
	}
	if f.needsGuest(command) {
		o := guestimage.PullOptions{Progress: guestimage.NewProgress(std.err), Log: log}
		if cfg.Guest, err = guest(ctx, f.image, o); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	switch {
	case len(command) == 0:
		cfg.Stdin = console.Keys(func() { cancel(guestExit(0)) })
	case !terminal.IsTerminal(std.in):
		cfg.Stdin = std.in
	}
	m, err := vm.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = withFailure(err, m.Close()) }()

	if len(command) == 0 {
		if err := console.Raw(); err != nil {
			return err
		}
		watching, unwatch := context.WithCancel(ctx)
		wait := console.Watch(watching, m.Resize)
		defer wait()
		defer unwatch()
	}
	if f.timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, f.timeout, timeoutError(f.timeout.String()))
		defer done()
	}
	status, err := m.Run(ctx)
	if f.cfg.Stats {
		fmt.Fprintln(console.Messages(), m.Stats())
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // a signal, Ctrl-A x or --timeout: the machine only did as it was told
	}
	if err == nil && status.ExitCode != 0 {
		return guestExit(status.ExitCode)
	}
	return err
}

// prefaultProgress draws on a bar until memory is there.
func prefaultProgress(bar guestimage.Progress) func(done, total uint64) {
	begun := false
	return func(done, total uint64) {
		if !begun {
			bar.Step("committing guest memory", int64(total))
			begun = true
		}
		bar.Set(int64(done))
		if done == total {
			bar.End()
		}
	}
}

// needsGuest says whether the image has a part in this boot: a kernel, or a user space. Firmware alone boots without, so that a test
// program fetches nothing.
func (f *runFlags) needsGuest(command []string) bool {
	switch c := f.cfg; {
	case len(command) > 0 || f.image != guestimage.DefaultName:
		return true
	case c.Kernel != "" && c.Initrd != "":
		return false
	case c.Kernel == "":
		return c.Bios == ""
	default: // a kernel without an initial RAM disk: its user space is on a disk, or the image's
		return !slices.ContainsFunc(strings.Fields(c.Append), func(word string) bool { return strings.HasPrefix(word, "root=") })
	}
}

// guest finds the image in the cache. The default is pulled when it is not there.
func guest(ctx context.Context, name string, o guestimage.PullOptions) (*vm.Guest, error) {
	cache, err := guestimage.Open("")
	if err != nil {
		return nil, err
	}
	image, err := cache.Ensure(ctx, name, o)
	if err != nil {
		return nil, err
	}
	g := &vm.Guest{Name: image.Name, Kernel: cache.BlobPath(image.Kernel)}
	if image.Busybox != nil {
		g.Busybox = cache.BlobPath(*image.Busybox)
	}
	for _, m := range image.Modules {
		g.Modules = append(g.Modules, vm.Module{Name: m.Name, Path: cache.BlobPath(m.Blob), Deps: m.Deps, Aliases: m.Aliases})
	}
	return g, nil
}

// newLog writes what is at least as grave as level.
func newLog(w io.Writer, level levelFlag) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.Level(level)}))
}
