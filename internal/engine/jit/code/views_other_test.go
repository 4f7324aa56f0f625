//go:build !linux || !amd64

package code

import (
	"errors"
	"testing"
)

func TestNewIsForbiddenElsewhere(t *testing.T) {
	if _, err := New(1<<20, 64<<10); !errors.Is(err, ErrForbidden) {
		t.Errorf("New: %v", err)
	}
	if _, err := NewForPerf(1<<20, 64<<10); !errors.Is(err, ErrForbidden) {
		t.Errorf("NewForPerf: %v", err)
	}
}
