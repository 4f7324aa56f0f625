package bench

// What a run found, as a file: JSON, and Go's benchmark format for benchstat. All samples are kept; what they say is computed when they are read, so that
// results of different versions are judged by the same rules.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Format is the version of the file format. A reader refuses others.
const Format = 1

// Result is a run.
type Result struct {
	Format   int           `json:"format"`
	Version  string        `json:"version"` // of vm
	Revision string        `json:"revision,omitempty"`
	Command  []string      `json:"command"`
	Peer     string        `json:"peer,omitempty"` // with its version: how fast it is depends on that
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took_ns"`
	// Complete says that everything that was asked for was tried. A run that was interrupted is kept, and is not.
	Complete bool   `json:"complete"`
	Note     string `json:"note,omitempty"`
	Host     Host   `json:"host"`
	Rows     []Row  `json:"rows"`
}

// Host describes what a run ran on.
type Host struct {
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	OS       string   `json:"os"` // linux/amd64
	Kernel   string   `json:"kernel"`
	Memory   uint64   `json:"memory"` // bytes
	Governor string   `json:"governor,omitempty"`
	Virtual  string   `json:"virtual,omitempty"` // by what hypervisor; empty: none is seen
	Features []string `json:"features,omitempty"`
	// Load is how many cores others kept busy while the run lasted, in the mean; what the run itself and its guests used is not in it.
	Load float64 `json:"load"`
	// Steal is the share of time that a hypervisor took away, 0 to 1.
	Steal float64 `json:"steal,omitempty"`
}

// Row is a benchmark's part of a result.
type Row struct {
	Name   string `json:"name"`
	Doc    string `json:"doc,omitempty"`
	Unit   string `json:"unit"`
	Higher bool   `json:"higher_is_better,omitempty"`
	Limit  string `json:"limit,omitempty"` // the row that says what the host can do
	Times  int    `json:"times"`           // how often the work was done for each sample
	// Passes are the samples, in the order they were taken, by pass over all benchmarks: the passes are minutes apart, and how they differ is
	// the noise of the host. Warm-up is not among them.
	Passes [][]float64 `json:"passes"`
	Warmup int         `json:"warmup,omitempty"` // samples that were left out at the starts of passes
	// Peer is the same work on another machine, alternating with Passes; PeerName says which.
	Peer     [][]float64 `json:"peer,omitempty"`
	PeerName string      `json:"peer_name,omitempty"`
	// Failed is why there are no samples, or no more of them; Unavailable why there could be none on this host; PeerFailed why the peer has none.
	Failed      string `json:"failed,omitempty"`
	Unavailable string `json:"unavailable,omitempty"`
	PeerFailed  string `json:"peer_failed,omitempty"`
}

// Samples are those of all passes.
func (r *Row) Samples() []float64 { return slices.Concat(r.Passes...) }

// PeerSamples are those of the peer.
func (r *Row) PeerSamples() []float64 { return slices.Concat(r.Peer...) }

// Row is the row of a name, or nil.
func (r *Result) Row(name string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Name == name {
			return &r.Rows[i]
		}
	}
	return nil
}

// Write writes the file.
func (r *Result) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads what Write wrote. An error is one line that says what is wrong with the file.
func Read(r io.Reader) (*Result, error) {
	var out Result
	d := json.NewDecoder(r)
	err := d.Decode(&out)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("it is cut short")
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("it is no result of vm bench: byte %d: %v", syntax.Offset, err)
	case err != nil:
		return nil, fmt.Errorf("it is no result of vm bench: %v", err)
	case out.Format != Format:
		return nil, fmt.Errorf("its format is %d, and this vm reads %d: measure again, or use the vm that made it", out.Format, Format)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the result")
	}
	names := map[string]bool{}
	for i := range out.Rows {
		row := &out.Rows[i]
		if row.Name == "" || row.Unit == "" || names[row.Name] {
			return nil, fmt.Errorf("row %d has no name, no unit, or the name of another", i+1)
		}
		names[row.Name] = true
		for _, v := range append(row.Samples(), row.PeerSamples()...) {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				return nil, fmt.Errorf("row %s has the sample %v", row.Name, v)
			}
		}
	}
	return &out, nil
}

// WriteGo writes Go's benchmark text format (https://go.dev/design/14313-benchmark-format), a line a sample, which benchstat reads.
func (r *Result) WriteGo(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: vm\ncpu: %s\n", before(r.Host.OS), after(r.Host.OS), r.Host.CPU)
	for i := range r.Rows {
		row := &r.Rows[i]
		name := goName(row.Name)
		for _, v := range row.Samples() {
			fmt.Fprintf(&b, "Benchmark%s %d %v %s\n", name, max(row.Times, 1), v, row.Unit)
		}
		for _, v := range row.PeerSamples() {
			fmt.Fprintf(&b, "Benchmark%s/peer=%s %d %v %s\n", name, row.PeerName, max(row.Times, 1), v, row.Unit)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func before(s string) string { b, _, _ := strings.Cut(s, "/"); return b }
func after(s string) string  { _, a, _ := strings.Cut(s, "/"); return a }

// goName is a benchmark's name as Go has it: without blanks, and with a capital letter first.
func goName(name string) string {
	name = strings.ReplaceAll(name, " ", "_")
	return strings.ToUpper(name[:1]) + name[1:]
}
