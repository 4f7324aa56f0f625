package timebase

// Alarms to the microsecond.
//
// Go's runtime waits for its next timer in epoll_wait, whose waits are whole milliseconds: a timer is up to one late. So an alarm has a timer of the
// host's, too, whose descriptor is among those that the runtime polls. Nobody reads it: the runtime wakes, and looks at its own timers.

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// waker is such a timer. The zero value has none yet.
type waker struct {
	file  *os.File // keeps the descriptor, and closes it when nobody has the alarm any more
	fd    int
	tried bool
}

// wake makes the runtime look at its timers after d, at the latest. Where the host refuses, it does so when it likes.
func (w *waker) wake(d time.Duration) {
	if !w.tried {
		w.tried = true
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			return
		}
		w.file, w.fd = os.NewFile(uintptr(fd), "alarm"), fd
	}
	if w.file != nil && d > 0 {
		_ = unix.TimerfdSettime(w.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	}
}
