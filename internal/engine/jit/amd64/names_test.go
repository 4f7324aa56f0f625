package amd64

import (
	"strings"
	"testing"
)

func TestEveryKindHasAName(t *testing.T) {
	for k := range NumKinds {
		if strings.HasPrefix(k.String(), "kind ") {
			t.Errorf("%v has no name", k)
		}
	}
}

func TestPinned(t *testing.T) {
	if s := Pinned(); !strings.Contains(s, "x10=rdi") || !strings.Contains(s, "f10=xmm3") || strings.Contains(s, "x0=") {
		t.Error(s)
	}
}
