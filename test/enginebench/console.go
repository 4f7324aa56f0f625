package main

// What a guest says on its console: the lines of guest/init.c, among others.

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// event is one line of the guest's init.
type event struct {
	kind    string
	name    string  // of a benchmark
	seconds float64 // of init and stop
	text    string  // of answer and fail
}

// parseEvent reads a line. Other lines than the init's, and damaged ones, are not events.
func parseEvent(line string) (event, bool) {
	_, line, ok := strings.Cut(line, "@bench ") // the kernel may have begun the line
	if !ok {
		return event{}, false
	}
	kind, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	name, rest, _ := strings.Cut(rest, " ")
	e := event{kind: kind, name: name}
	var err error
	switch kind {
	case "init":
		e.name = ""
		e.seconds, err = strconv.ParseFloat(name, 64)
	case "stop":
		e.seconds, err = strconv.ParseFloat(rest, 64)
	case "answer":
		if len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '"' {
			return event{}, false
		}
		e.text = rest[1 : len(rest)-1]
	case "fail":
		e.text = rest
	case "setup", "start":
	case "end":
		return e, name == ""
	default:
		return event{}, false
	}
	return e, err == nil && e.seconds >= 0 && (e.name != "" || kind == "init")
}

// console is what a machine writes to, its output and its errors at once. It has one writer; last is for after its end.
type console struct {
	watch func(event)
	line  []byte
	tail  []string // last lines that are no events: what a machine that failed has to say
}

const (
	longestLine = 4096
	tailLines   = 4
)

// Write implements io.Writer.
func (c *console) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			c.line = append(c.line, rest[:min(len(rest), longestLine-min(longestLine, len(c.line)))]...)
			break
		}
		c.take(string(c.line) + string(rest[:i]))
		c.line, rest = c.line[:0], rest[i+1:]
	}
	return len(p), nil
}

func (c *console) take(line string) {
	if e, ok := parseEvent(line); ok {
		c.watch(e)
		return
	}
	if line = strings.TrimSpace(line); line != "" {
		c.tail = append(c.tail, line)
		c.tail = c.tail[max(0, len(c.tail)-tailLines):]
	}
}

// last is the end of the other output, for an error message.
func (c *console) last() string {
	lines := c.tail
	if len(c.line) > 0 {
		lines = append(lines, string(c.line))
	}
	if len(lines) == 0 {
		return "it said nothing"
	}
	return "it said: " + strings.Join(lines, " / ")
}

// timing is what came of one benchmark in one run.
type timing struct {
	guest  float64 // seconds by the guest's clock
	host   float64 // seconds by the host's, a little more
	answer string
	err    error
}

// collector makes timings of events.
type collector struct {
	timings map[string]timing
	current string // the benchmark in progress; empty between two
	started time.Time
}

// event takes one event that arrived at a time.
func (c *collector) event(e event, at time.Time) {
	t := c.timings[e.name]
	switch e.kind {
	case "setup":
		c.current = e.name
		return
	case "start":
		c.started = at
		return
	case "stop":
		t.guest, t.host = e.seconds, at.Sub(c.started).Seconds()
	case "answer":
		t.answer = e.text
		c.current = ""
	case "fail":
		t.err = fmt.Errorf("%s", e.text)
		c.current = ""
	default:
		return
	}
	c.timings[e.name] = t
}
