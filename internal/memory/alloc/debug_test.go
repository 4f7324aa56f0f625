//go:build allocdebug

package alloc

import "testing"

// Each of these goes on, with somebody else's object, where nothing is checked.
func TestUseAfterReleaseIsCaught(t *testing.T) {
	for name, use := range map[string]func(){
		"released twice": func() {
			var p Pool[object]
			x := p.Get()
			p.Put(x)
			p.Put(x)
		},
		"written after its release": func() {
			var p Pool[object]
			x := p.Get()
			p.Put(x)
			x.n = 5
			for range quarantine + 1 {
				p.Put(new(object))
			}
			for range quarantine {
				p.Put(p.Get())
			}
		},
		"asked for after its release": func() {
			var p Pool[object]
			x := p.Get()
			p.Put(x)
			p.Live(x)
		},
		"read after its release": func() {
			var p Pool[object]
			x := p.Get()
			x.next = &object{}
			p.Put(x)
			_ = x.next.n
		},
		"poisoned, and read": func() {
			p := Pool[object]{Poison: func(x *object) { x.list = nil }}
			x := p.Get()
			x.list = []int{1}
			p.Put(x)
			_ = x.list[0]
		},
		"written after its arena was reset": func() {
			var a Arena[object]
			x := a.New()
			a.Reset()
			x.n = 5
			a.Reset()
		},
		"read after its arena was reset": func() {
			var a Arena[object]
			x := a.New()
			x.next = &object{}
			a.Reset()
			_ = x.next.n
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("nothing was noticed")
				}
			}()
			use()
		})
	}
}
