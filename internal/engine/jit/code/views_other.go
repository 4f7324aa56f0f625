//go:build !linux || !amd64

package code

// Hosts that the translator has no back end for.

func mapViews(int) ([]byte, Addr, error)        { return nil, 0, ErrForbidden }
func mapViewsForPerf(int) ([]byte, Addr, error) { return nil, 0, ErrForbidden }
func unmapViews([]byte, Addr) error             { return nil }
func unmapPages([]byte)                         {}
func serialize()                                {}

// Populate makes the host provide the memory of pages that will be written, where it can.
func Populate([]byte) {}

func populateExec(Addr, int) {}
