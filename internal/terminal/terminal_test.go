package terminal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCRLF(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n":   "a\r\nb\r\n",
		"a\r\nb":   "a\r\nb",
		"\n":       "\r\n",
		"no break": "no break",
	} {
		var b bytes.Buffer
		n, err := CRLF(&b).Write([]byte(in))
		if n != len(in) || err != nil || b.String() != want {
			t.Errorf("%q: %d, %v, %q; want %q", in, n, err, b.String(), want)
		}
	}
}

func TestFirstSignalCancelsSecondExits(t *testing.T) {
	words, codes := 0, make(chan int, 1)
	ctx, stop := notify(context.Background(), func() { words++ }, func(code int) { codes <- code })
	defer stop()
	raise(t, unix.SIGHUP)
	<-ctx.Done()
	var s SignalError
	if !errors.As(context.Cause(ctx), &s) || s.Signal != unix.SIGHUP || s.ExitCode() != 129 {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	raise(t, unix.SIGTERM)
	if code := <-codes; code != 143 || words != 1 {
		t.Errorf("exit %d after %d last words; want 143 after 1", code, words)
	}
}

func raise(t *testing.T, s unix.Signal) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func TestStopIsRepeatable(t *testing.T) {
	ctx, stop := Notify(context.Background(), func() {})
	stop()
	stop()
	if ctx.Err() == nil {
		t.Error("stop left the context alive")
	}
}

func TestMakeRawRefusesAFile(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsTerminal(f) {
		t.Skip("the null device is a terminal here")
	}
	if _, err := MakeRaw(f); err == nil {
		t.Error("no error")
	}
	var none *Raw
	if err := none.Restore(); err != nil {
		t.Error(err)
	}
}
