package board

import (
	"fmt"

	"github.com/vmproject/vm/internal/memory"
)

// Kind says how a boot, or the machine, ended.
type Kind uint8

const (
	// PoweredOff: the guest switched the machine off.
	PoweredOff Kind = iota
	// Rebooted: the guest asked for a reset, and NoReboot says to end instead.
	Rebooted
	// Exited: the guest ended with Code.
	Exited
	// Stopped: the context ended, or somebody called End.
	Stopped
	// Stuck: no hart can make progress any more; Reason says why.
	Stuck
	// handedOff: firmware rang the doorbell. The boot goes on; see handoff.go.
	handedOff
)

func (k Kind) String() string {
	switch k {
	case PoweredOff:
		return "powered off"
	case Rebooted:
		return "rebooted"
	case Exited:
		return "exited"
	case Stopped:
		return "stopped"
	case Stuck:
		return "stuck"
	case handedOff:
		return "handed off"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Outcome is how a machine ended.
type Outcome struct {
	Kind   Kind
	Code   int    // with Exited
	Reason string // with Stuck: one line

	dtb memory.GPA // with handedOff
}
