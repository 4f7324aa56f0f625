//go:build unix && !linux

package hart

import (
	"errors"

	"golang.org/x/sys/unix"
)

// backing is nothing: the translator, which alone wants windows, does not run here.
type backing struct{}

func mapShared(size uintptr) (mapping, error) {
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return mapping{mem: mem}, err
}

func (m *mapping) open() error { return errors.ErrUnsupported }

func (m *mapping) close() error { return unix.Munmap(m.mem) }
