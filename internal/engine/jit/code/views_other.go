//go:build !linux || !amd64

package code

// Hosts that the translator has no back end for.

func mapViews(int) ([]byte, Addr, error)        { return nil, 0, ErrForbidden }
func mapViewsForPerf(int) ([]byte, Addr, error) { return nil, 0, ErrForbidden }
func unmapViews([]byte, Addr) error             { return nil }
func populate([]byte)                           {}
func unmapPages([]byte)                         {}
func serialize()                                {}
