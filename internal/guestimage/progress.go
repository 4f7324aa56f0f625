package guestimage

// What a person sees of a pull: a bar when there is a terminal to draw it on, one line a step when there is not.

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress is told of the steps of a pull or an import, from one goroutine.
type Progress interface {
	// Step begins a step and ends the one before. total is in bytes; 0 means that it is not known.
	Step(what string, total int64)
	// Set says how many bytes of the step are done.
	Set(done int64)
	// End ends the last step. It may be called more than once.
	End()
}

// NewProgress draws on w if it is a terminal, and writes lines otherwise.
func NewProgress(w io.Writer) Progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bar{w: w}
	}
	return lines{w: w}
}

// lines is progress for logs.
type lines struct{ w io.Writer }

func (l lines) Step(what string, total int64) {
	if total > 0 {
		fmt.Fprintf(l.w, "vm: %s, %s\n", what, FormatSize(total))
		return
	}
	fmt.Fprintf(l.w, "vm: %s\n", what)
}
func (lines) Set(int64) {}
func (lines) End()      {}

// silence is progress for nobody.
type silence struct{}

func (silence) Step(string, int64) {}
func (silence) Set(int64)          {}
func (silence) End()               {}

// bar is progress for people.
type bar struct {
	w io.Writer
	b *progressbar.ProgressBar
}

// A terminal that fails to draw is no reason to stop, so errors of the bar are not looked at.

func (p *bar) Step(what string, total int64) {
	p.End()
	if total == 0 {
		total = -1 // a spinner
	}
	p.b = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(total > 0),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(65*time.Millisecond),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionClearOnFinish(),
	)
	_ = p.b.RenderBlank()
}

func (p *bar) Set(done int64) {
	if p.b == nil {
		return
	}
	if p.b.GetMax64() < 0 { // a spinner turns at each call
		_ = p.b.Add64(1)
		return
	}
	// The bar finishes itself at its maximum, after which it must not be drawn again.
	_ = p.b.Set64(min(done, p.b.GetMax64()))
}

func (p *bar) End() {
	if p.b != nil {
		_ = p.b.Finish()
		_ = p.b.Clear()
		p.b = nil
	}
}

// progressReader tells progress of each read.
type progressReader struct {
	r    io.Reader
	p    Progress
	base int64 // bytes of the step that were done before this reader
	done int64
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.done += int64(n)
	r.p.Set(r.base + r.done)
	return n, err
}

// FormatSize writes a number of bytes for people: 31.2 MB.
func FormatSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 1000 && unit < 4 {
		v /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGT"[unit-1])
}
