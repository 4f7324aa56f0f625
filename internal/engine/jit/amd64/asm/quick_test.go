package asm

import (
	"bytes"
	"testing"
)

// What is encoded by template is what the table's bits make of it, which is how it is encoded for a listing.
func TestQuickIsTheSame(t *testing.T) {
	want, listing := generate(t, 50)
	a := new(Assembler)
	a.Reset(make([]byte, len(want)+slack), 0)
	o := newOperands()
	for _, v := range variants() {
		for range 50 {
			o.made = o.made[:0]
			v.emit(a, o)
		}
	}
	got, err := a.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listing {
		if l.end > len(got) || !bytes.Equal(got[l.at:l.end], want[l.at:l.end]) {
			t.Fatalf("%v is % x, want % x", l.Inst, got[l.at:min(l.end, len(got))], want[l.at:l.end])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
