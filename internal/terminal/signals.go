package terminal

// Signals that end vm. The first one cancels a context, so that the machine stops, disks are flushed and the terminal is restored in
// the usual way. The second is for a machine that does not stop.

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// SignalError is the cause of a context that a signal cancelled.
type SignalError struct{ Signal unix.Signal }

func (e SignalError) Error() string { return fmt.Sprintf("ended by %s", unix.SignalName(e.Signal)) }

// ExitCode is the exit status by which a shell knows that a signal ended a command: 128 and the signal's number.
func (e SignalError) ExitCode() int { return 128 + int(e.Signal) }

// ends are the signals by which a user, a shell, a session's end and a supervisor end a process.
var ends = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// Notify returns a context that the first signal cancels, with a SignalError as its cause. At the second signal lastWords runs, which
// must restore the terminal and must not block, and the process exits. stop ends all this.
func Notify(parent context.Context, lastWords func()) (ctx context.Context, stop func()) {
	return notify(parent, lastWords, os.Exit)
}

func notify(parent context.Context, lastWords func(), exit func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	stopped := make(chan struct{})
	done := make(chan struct{})
	signal.Notify(signals, ends...)
	go func() {
		defer close(done)
		for {
			select {
			case <-stopped:
				return
			case s := <-signals:
				e := SignalError{s.(unix.Signal)}
				if ctx.Err() != nil {
					lastWords()
					exit(e.ExitCode())
					return
				}
				cancel(e)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		select {
		case <-stopped:
		default:
			close(stopped)
		}
		<-done
		cancel(nil)
	}
}
