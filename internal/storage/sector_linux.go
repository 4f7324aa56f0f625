package storage

// The logical sector that a raw image was made for: a raw image has no place for it, so it is an attribute of its file.

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const sectorAttribute = "user.vm.sector"

// recordedSector is the sector that a file records, in bytes; 0 where it records none.
func recordedSector(f *os.File) int {
	var b [16]byte
	n, err := unix.Fgetxattr(int(f.Fd()), sectorAttribute, b[:])
	if err != nil {
		return 0
	}
	switch s := string(b[:n]); s {
	case "512", "4096":
		sector, _ := strconv.Atoi(s) // one of two known numbers
		return sector
	}
	return 0
}

// recordSector records it; errors.ErrUnsupported where the file system has no attributes.
func recordSector(f *os.File, sector int) error {
	err := unix.Fsetxattr(int(f.Fd()), sectorAttribute, []byte(strconv.Itoa(sector)), 0)
	if err == unix.EOPNOTSUPP || err == unix.EPERM {
		return errors.ErrUnsupported
	}
	return err
}
