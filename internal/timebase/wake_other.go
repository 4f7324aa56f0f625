//go:build !linux

package timebase

import "time"

// waker is Linux's.
type waker struct{}

func (*waker) wake(time.Duration) {}
