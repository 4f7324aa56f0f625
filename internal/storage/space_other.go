//go:build !linux

package storage

import "errors"

func (f *file) sync() error { return f.f.Sync() }

// truncate gives the file another size.
func (f *file) truncate(size int64) error { return reason(f.f.Truncate(size)) }

func (f *file) punch(_, _ int64) error {
	f.noPunch.Store(true)
	return errors.ErrUnsupported
}

func (f *file) zero(_, _ int64) error {
	f.noZero.Store(true)
	return errors.ErrUnsupported
}
