//go:build !linux

package mirror

import (
	"errors"

	"github.com/vmproject/vm/internal/memory"
)

// New fails: mirrors are Linux's.
func New(*memory.RAM) (*Mirror, error) { return nil, errors.ErrUnsupported }

// The methods of what New never makes.
func (m *Mirror) Close() error                { return nil }
func (m *Mirror) Base() uintptr               { return 0 }
func (m *Mirror) Map(uint64, Page, int) error { return errors.ErrUnsupported }
func (m *Mirror) Unmap(first, last uint64)    {}
func (m *Mirror) Clear()                      {}
