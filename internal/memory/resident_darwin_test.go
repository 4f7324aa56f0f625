package memory

import "testing"

// resident is not asked here.
func resident(_ *testing.T, r *RAM) uint64 { return r.Size() }
