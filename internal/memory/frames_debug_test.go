//go:build allocdebug

package memory

import "testing"

// A view of a frame that is given is refused, and one of what lies beside it, or was taken back, is not.
func TestUseOfGivenFramesIsCaught(t *testing.T) {
	r := newTestRAM(t, 8*PageSize)
	f := NewFrames(r)
	f.Give(testBase + 3*PageSize)
	for _, c := range []struct {
		a  GPA
		n  uint64
		ok bool
	}{
		{testBase, 3 * PageSize, true},
		{testBase, 3*PageSize + 1, false},
		{testBase + 4*PageSize - 1, 1, false},
		{testBase + 4*PageSize, 4 * PageSize, true},
		{testBase, 8 * PageSize, false},
		{testBase + 3*PageSize, 0, true},
	} {
		if _, err := r.Slice(c.a, c.n); (err == nil) != c.ok {
			t.Errorf("%#x+%#x: %v", uint64(c.a), c.n, err)
		}
	}
	f.Take(testBase + 3*PageSize)
	if _, err := r.Slice(testBase, 8*PageSize); err != nil {
		t.Error(err)
	}
	f.Give(testBase)
	f.Reset()
	if _, err := r.Slice(testBase, 8*PageSize); err != nil {
		t.Error(err)
	}
}
