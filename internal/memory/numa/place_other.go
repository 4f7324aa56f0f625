//go:build !linux

package numa

import (
	"errors"
	"fmt"
)

// Apply gives memory a policy, on hosts that have them.
func (p Policy) Apply([]byte) error {
	if p.Kind == None {
		return nil
	}
	return fmt.Errorf("policy %v: %w by this host: leave it out", p.Kind, errors.ErrUnsupported)
}

// Pin keeps the calling thread on some of the host's processors, on hosts that have that.
func Pin([]int) error {
	return fmt.Errorf("keeping a thread on some processors: %w by this host", errors.ErrUnsupported)
}
