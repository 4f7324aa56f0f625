package main

// A machine that is killed.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stallLimit = time.Minute      // until the first line, and from one to the next
	tellLimit  = 10 * time.Second // for a machine that does not go on to say where it stands
	mostLines  = 25               // seen before a kill
	mostAfter  = 30 * time.Millisecond
	mostBoot   = 2 * time.Second // of a kill that does not wait for a line
)

// doom is when a machine is killed: so long after so many lines. The moment itself is the host's to make different each time.
type doom struct {
	lines int
	after time.Duration
	harts int
}

// draw chooses one. One in ten does not wait until the guest writes, if it writes before: images are opened and journals replayed at that time.
func draw(rng *rand.Rand) doom {
	d := doom{lines: 1 + rng.IntN(mostLines), after: time.Duration(rng.Int64N(int64(mostAfter))), harts: 1 + rng.IntN(2)}
	if rng.IntN(10) == 0 {
		d.lines, d.after = 0, time.Duration(rng.Int64N(int64(mostBoot)))
	}
	return d
}

// stall is a machine that did not go on.
type stall struct {
	seen       int
	goroutines string
}

func (s *stall) Error() string {
	return fmt.Sprintf("the guest said nothing for %v after %d batches", stallLimit, s.seen)
}

// live boots a machine with the disk, and kills it. It returns the last batch that was acknowledged, 0 if none was.
func live(ctx context.Context, vm, guest string, d *disk, end doom) (acknowledged uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := []string{"run", "-c", strconv.Itoa(end.harts), "-m", "256M", "-d", d.option(), "--file", guest + ":/guest", "--", "/guest",
		"-from", strconv.FormatUint(d.next, 10), "-direct=" + strconv.FormatBool(d.direct)}
	cmd := exec.CommandContext(ctx, vm, append(args, d.plan.Args()...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	answers, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := make(chan string) // closed when the pipe is: what the process had written before it was killed is read to the last line
	go func() {
		defer close(lines)
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return // a part of a line is no acknowledgement
			}
			lines <- line
		}
	}()
	kill := time.NewTimer(end.after)
	defer kill.Stop()
	if end.lines > 0 {
		kill.Reset(stallLimit)
	}
	seen, killed, stalled := 0, false, false
	for open := true; open; {
		var line string
		select {
		case <-kill.C:
			if seen < end.lines && !stalled { // Go's runtime prints all goroutines
				stalled = true
				_ = cmd.Process.Signal(syscall.SIGABRT) // one that has ended is found out below
				kill.Reset(tellLimit)
				continue
			}
			killed = true
			_ = cmd.Process.Kill() // SIGKILL
		case line, open = <-lines:
			if !open {
				break
			}
			b, perr := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(line), "synced "), 10, 64)
			if want := d.next + uint64(seen); perr != nil || b != want {
				err = errors.Join(err, fmt.Errorf("the guest said %q, not that it synced batch %d", line, want))
				cancel()
				continue
			}
			acknowledged = b
			_, _ = answers.Write([]byte{'\n'}) // it may be dead
			switch seen++; {
			case killed || seen > end.lines:
			case seen == end.lines:
				kill.Reset(end.after)
			default:
				kill.Reset(stallLimit)
			}
		}
	}
	wait := cmd.Wait()
	switch {
	case err != nil:
	case stalled:
		err = &stall{seen, stderr.String()}
	case !killed:
		err = fmt.Errorf("the machine ended by itself: %v: %s", wait, strings.TrimSpace(stderr.String()))
	}
	return acknowledged, err
}
