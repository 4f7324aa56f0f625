//go:build !linux

package storage

import (
	"errors"
	"os"
)

func recordedSector(*os.File) int { return 0 }

func recordSector(*os.File, int) error { return errors.ErrUnsupported }
