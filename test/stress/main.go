// Command stress runs Debian's stress-ng in a guest of two harts: processors, memory, processes, context switches and atomics at once, each
// checking what it computes. It is for a new engine, or for a night.
//
//	make stress                                        # five minutes
//	make stress STRESS_TIME=1h STRESS_ENGINE=interp
//
// Debian's riscv64 package comes by apt, once, into the folder vm-bench of the user's cache folder. The exit status is 1 when anything in
// the guest failed, or the guest did not end.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vmproject/vm/internal/debiandisk"
	"github.com/vmproject/vm/internal/guestimage"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("stress: ")
	var (
		vm        = flag.String("vm", "bin/vm", "the vm `binary`")
		engine    = flag.String("engine", "auto", "vm's `engine`")
		harts     = flag.Int("c", 2, "harts")
		long      = flag.Duration("time", 5*time.Minute, "how long")
		stressors = flag.String("stressors", "cpu vm fork switch context atomic", "what stress-ng does, each once a hart")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	disk, err := makeDisk(ctx)
	if err == nil {
		err = run(ctx, *vm, disk, *engine, *harts, *long, strings.Fields(*stressors))
	}
	if err != nil {
		stop()
		log.Fatal(err)
	}
}

func makeDisk(ctx context.Context) (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "vm-bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	images, err := guestimage.Open("")
	if err != nil {
		return "", err
	}
	if _, err := images.Ensure(ctx, guestimage.DefaultName, guestimage.PullOptions{}); err != nil {
		return "", err
	}
	disk, err := debiandisk.Make(ctx, dir, images.Dir(), "512M", "base-files", "stress-ng")
	if err != nil {
		return "", fmt.Errorf("making the disk with stress-ng: %w", err)
	}
	return disk, nil
}

// run boots the guest, with an end to it that comes when stress-ng has had twice its time.
func run(ctx context.Context, vm, disk, engine string, harts int, long time.Duration, stressors []string) error {
	script := "mount /dev/vda /mnt && for d in proc sys dev; do mount --bind /$d /mnt/$d; done && mount -t tmpfs tmp /mnt/tmp && " +
		"cd /tmp && exec chroot /mnt stress-ng --temp-path /tmp --verify --metrics-brief --vm-bytes 64M --timeout " +
		strconv.Itoa(int(long.Seconds())) + "s"
	for _, s := range stressors {
		script += " --" + s + " " + strconv.Itoa(harts)
	}
	cmd := exec.CommandContext(ctx, vm, "run", "--engine", engine, "-c", strconv.Itoa(harts), "-m", "1G", "--timeout", (2*long + 2*time.Minute).String(),
		"--stats", "-d", strings.ReplaceAll(disk, ",", ",,")+",snapshot", "--", "sh", "-c", script)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the guest: %w", err)
	}
	log.Printf("passed after %s on engine %s, %d harts: %s", time.Since(began).Round(time.Second), engine, harts, strings.Join(stressors, " "))
	return nil
}
