package storage

import (
	"bytes"
	"strings"
	"testing"
)

// A disk in memory that the host's addresses have no room for is an error, and one that is larger than its memory is none.
func TestMemorySizes(t *testing.T) {
	if _, err := Open(Options{Format: FormatMemory, Path: "memory:1P", Size: 1 << 50}); err == nil || !strings.Contains(err.Error(), "make it smaller") {
		t.Errorf("a disk of 1 PiB: %v", err)
	}
	m, err := Open(Options{Format: FormatMemory, Path: "memory:4T", Size: 1 << 42})
	if err != nil {
		t.Skip(err) // the host says how much may be promised
	}
	defer m.Close()
	if err := m.WritevAt([][]byte{{1, 2, 3, 4}}, 1<<42-4); err != nil {
		t.Error(err)
	}
	b := make([]byte, 4)
	if err := m.ReadvAt([][]byte{b}, 1<<42-4); err != nil || !bytes.Equal(b, []byte{1, 2, 3, 4}) {
		t.Errorf("% x, %v", b, err)
	}
}
