package main

// Exit statuses: a guest's own, and those of vm, which are timeout(1)'s and docker's.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/terminal"
)

const (
	exitSlower  = 1   // a comparison found something slower, or a promise is broken
	exitTimeout = 124 // --timeout passed
	exitFailure = 125 // vm itself failed
)

// guestExit is the guest's own exit status. It is not a failure of vm and prints nothing.
type guestExit int

func (e guestExit) Error() string { return fmt.Sprintf("the guest ended with status %d", int(e)) }

// errSlower is what a comparison has found and already said.
var errSlower = errors.New("something is slower, or a promise is broken")

// timeoutError is the cause of a context that --timeout ended.
type timeoutError string

func (e timeoutError) Error() string {
	return fmt.Sprintf("the guest did not end within %s: give it more with --timeout, or see its console with --log-level debug", string(e))
}

// verdict is what the world sees of an error: the exit status, and one line, or none.
func verdict(err error) (code int, line string) {
	var guest guestExit
	var signal terminal.SignalError
	var timeout timeoutError
	switch {
	case err == nil:
		return 0, ""
	case err == errSlower: // and nothing else is wrong
		return exitSlower, ""
	case errors.As(err, &guest):
		return int(guest), ""
	case errors.As(err, &signal):
		return signal.ExitCode(), ""
	case errors.As(err, &timeout):
		return exitTimeout, oneLine(timeout)
	}
	return exitFailure, oneLine(err)
}

// withFailure adds a failure on the way out to how a machine ended. It hides a guest's exit status, a signal and a timeout, because
// a disk that could not be flushed is what the user has to know.
func withFailure(err, failure error) error {
	if failure == nil {
		return err
	}
	if code, line := verdict(err); code != exitFailure || line == "" {
		return failure
	}
	return errors.Join(err, failure)
}

// oneLine joins the lines of an error and takes out what would move a terminal's cursor.
func oneLine(err error) string {
	s := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
