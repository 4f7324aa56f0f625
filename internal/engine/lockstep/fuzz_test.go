package lockstep

import (
	"bytes"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
)

// Any bytes as code.
func FuzzBytes(f *testing.F) {
	f.Add(uint64(0), []byte{0x13, 0x05, 0x15, 0x00, 0x6f, 0xf0, 0xdf, 0xff})
	f.Add(uint64(1), bytes.Repeat([]byte{0x01, 0x00}, bytesMax))
	f.Add(uint64(2), bytes.Repeat([]byte{0x73, 0x10, 0x05, 0x18, 0x02, 0x90}, 200))
	r := &Runner{New: func(h *hart.Hart) Engine { return interp.NewSize(h, 2) }}
	f.Cleanup(func() {
		if err := r.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, seed uint64, code []byte) {
		p, err := Bytes(seed, code)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(p); err != nil {
			t.Fatal(err)
		}
	})
}
