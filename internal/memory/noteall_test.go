package memory

import (
	"fmt"
	"slices"
	"testing"
)

// NoteAll says the same as a Note of each span, whichever look it takes: before anybody watches, and with pages watched that the spans touch, or only lie beside.
func TestNoteAllIsNoteOfEach(t *testing.T) {
	const pages = 8
	at := func(page, off GPA) GPA { return testBase + page<<PageShift + off }
	spans := []Span{
		{at(0, 0), 1},
		{at(0, 100), PageSize},         // two pages
		{at(1, 0), PageSize},           // exactly one
		{at(1, PageMask), 2},           // the last byte of one and the first of the next
		{at(2, 0), PageSize + 1},       // more than one look is for
		{at(1, 5), 3 * PageSize},       //
		{at(3, 8), 0},                  // nothing
		{at(pages-1, 0), PageSize},     // the end of RAM
		{at(pages-1, 9), 2 * PageSize}, // past it
		{at(pages, 0), 8},
		{testBase - 4, 8},
		{0, 8},
		{^GPA(0) - 3, 8},
	}
	for i, s := range spans {
		for watched := range GPA(pages) {
			t.Run(fmt.Sprint(i, "/", watched), func(t *testing.T) {
				var changed [2][]GPA
				for k, note := range []func(*CodeMap){
					func(c *CodeMap) { c.Note(s.At, s.N) },
					func(c *CodeMap) { c.NoteAll([]Span{s}) },
				} {
					c := newTestRAM(t, pages*PageSize).Code()
					for range 2 * quietAfter { // it turns quiet meanwhile, or does not
						c.NoteAll([]Span{{at(0, 0), 1}})
					}
					c.Watch(at(watched, 0))
					note(c)
					changed[k] = c.TakeChanged()
				}
				if !slices.Equal(changed[0], changed[1]) {
					t.Errorf("page %d watched, %d bytes at %#x noted: %#x changed, want %#x", watched, s.N, uint64(s.At), changed[1], changed[0])
				}
			})
		}
	}
}
