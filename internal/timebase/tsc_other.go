//go:build !(linux && amd64)

package timebase

import "errors"

func rdtsc() uint64 { panic("no time-stamp counter") }

func tscMul() (uint64, error) { return 0, errors.New("no time-stamp counter") }
