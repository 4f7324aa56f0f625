// Package engine is what a machine knows of the thing that executes its guests: the seam between the board above and the
// interpreter, and later the translator, below.
package engine

import "fmt"

// Exit says why an engine gave up a hart.
type Exit uint8

const (
	// ExitStop: somebody asked the hart to stop; it may be run again.
	ExitStop Exit = iota
	// ExitWFI: the hart waits for an interrupt. PC is past the WFI.
	ExitWFI
	// ExitFirmware: the hart trapped into the firmware that the host provides; hart.FirmwareTrap says why.
	ExitFirmware
	NumExits
)

func (e Exit) String() string {
	switch e {
	case ExitStop:
		return "stop"
	case ExitWFI:
		return "wfi"
	case ExitFirmware:
		return "firmware"
	}
	return fmt.Sprintf("exit %d", uint8(e))
}

// Engine executes one hart. It is bound to the hart when it is made, and Run is called from one goroutine at a time.
type Engine interface {
	// Name is what --engine calls it.
	Name() string
	// Run executes until there is something for the board to do. The hart's state is precise when it returns.
	Run() Exit
}

// Reporter is an engine that counts what it does, for --stats.
type Reporter interface {
	// Report is about all harts of the engine's machine, so it is asked of one of them. None may run.
	Report() []Section
}

// Section is a few figures with a name.
type Section struct {
	Name    string
	Figures []Figure
}

// Figure is one line of a report. The value is for people, and aligned to the right.
type Figure struct{ Name, Value string }
