package vm

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What is held for the terminal comes out of it whole, once the guest has opened that, and after it the key that says that it has ended, until
// the machine ends.
func TestInputWaitsForTheTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Repeat("typed ahead ", 20_000) // more than is read ahead
		in := newInput(strings.NewReader(text), true)
		in.start(t.Context(), nil, func(err error) { t.Error(err) })
		got := make(chan string)
		go func() {
			b, err := io.ReadAll(in)
			if err != nil {
				t.Error(err)
			}
			got <- string(b)
		}()
		synctest.Wait()
		in.mu.Lock()
		if n := len(in.waiting); n == 0 || n > readAhead {
			t.Errorf("%d bytes are read ahead", n)
		}
		in.mu.Unlock()
		in.toTerminal()
		in.toTerminal()            // at a reboot
		time.Sleep(5*endEvery - 1) // in no time: see synctest
		in.close()
		if s := <-got; s != text+"\n"+strings.Repeat("\x04", 5) {
			t.Errorf("%d bytes of %d came out, the last %q", len(s), len(text), s[max(0, len(s)-10):])
		}
	})
}

// Close ends a Read that waits, and the pump that waits for room.
func TestInputCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInput(strings.NewReader(strings.Repeat("x", 2*readAhead)), true)
		in.start(t.Context(), nil, func(err error) { t.Error(err) })
		synctest.Wait()
		in.close()
		if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read: %d, %v", n, err)
		}
	}) // which finds goroutines that are left
}

func TestInputTellsOfFailure(t *testing.T) {
	failed := make(chan error)
	in := newInput(readerFunc(func([]byte) (int, error) { return 0, io.ErrNoProgress }), true)
	in.start(t.Context(), nil, func(err error) { failed <- err })
	if err := <-failed; err != io.ErrNoProgress {
		t.Error(err)
	}
}

func TestHoldingInput(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want bool
	}{
		{"the guest's own kernel", Config{}, true},
		{"with words for it", Config{Append: "quiet loglevel=3"}, true},
		{"firmware", Config{Bios: "u-boot.bin"}, false},
		{"another kernel", Config{Kernel: "Image"}, false},
		{"another init", Config{Append: "quiet rdinit=/bin/sh"}, false},
	} {
		c.cfg.Guest = &Guest{Kernel: "vmlinux", Busybox: "busybox"}
		if c.cfg.Kernel == "" {
			c.cfg.Kernel = c.cfg.Guest.Kernel
		}
		if got := c.cfg.terminalOnly(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// noted is a writer that cannot be compared.
type noted []string

func (noted) Write(p []byte) (int, error) { return len(p), nil }

func TestOneWriterForAll(t *testing.T) {
	var b bytes.Buffer
	var stdout, stderr, log io.Writer = &b, &b, nil
	var x, y io.Writer = noted{}, noted{}
	makeExclusive(&stdout, &stderr, &log, &x, &y)
	if log != nil {
		t.Error("a writer where there was none")
	}
	if stdout.(exclusive).mu != stderr.(exclusive).mu || stdout.(exclusive).mu == x.(exclusive).mu {
		t.Error("a lock is for one writer")
	}
	var all sync.WaitGroup
	for _, w := range []io.Writer{stdout, stderr} {
		all.Go(func() {
			for range 1000 {
				io.WriteString(w, "x")
			}
		})
	}
	all.Wait()
	if b.Len() != 2000 {
		t.Errorf("%d bytes of 2000 arrived", b.Len())
	}
}
