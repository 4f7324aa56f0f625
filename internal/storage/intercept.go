package storage

// Where tests come between an image file and its host: at each call, below what goes on after a short transfer and repeats what was interrupted. A
// [hostio.Recorder] stands above that, and only below qcow2.
//
// An image that is not under test has no interceptor, and pays for one comparison a call.

import "syscall"

// callKind is what the host is asked for.
type callKind int

// The kinds of calls.
const (
	callRead     callKind = iota
	callReadNow           // as far as it waits for no device
	callWrite             //
	callWriteNow          // as far as it waits for no device
	callSync              //
	callPunch             // a hole
	callZero              // a range, whose space is kept
	callTruncate          // off is the new size
)

// hostCall is one call; off and n are the bytes it is about.
type hostCall struct {
	kind   callKind
	off, n int64
}

// interceptor answers a call in the host's place. do lets the host do it, of a transfer only the first n bytes, more than none, and returns what the host did: the bytes
// that moved and its error, 0 for none. What the interceptor returns is what the caller takes for the host's answer. It is called by many goroutines at a time.
type interceptor func(c hostCall, do func(n int64) (int64, syscall.Errno)) (int64, syscall.Errno)

// control is a call that moves no bytes, by way of the interceptor.
func (i interceptor) control(c hostCall, do func() syscall.Errno) syscall.Errno {
	_, errno := i(c, func(int64) (int64, syscall.Errno) { return 0, do() })
	return errno
}
