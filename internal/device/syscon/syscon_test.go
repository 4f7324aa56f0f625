package syscon

import "testing"

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		off  uint64
		size int
		v    uint64
		want []Request
	}{
		{"power off", 0, 4, 0x5555, []Request{{Kind: PowerOff}}},
		{"power off, 2 bytes", 0, 2, 0x5555, []Request{{Kind: PowerOff}}},
		{"reboot", 0, 4, 0x7777, []Request{{Kind: Reboot}}},
		{"exit", 0, 4, 42<<16 | 0x3333, []Request{{Exit, 42}}},
		{"exit, largest code", 0, 4, 0xffff_3333, []Request{{Exit, 0xffff}}},
		{"exit, 8 bytes", 0, 8, 0xabcd_0001_3333, []Request{{Exit, 1}}},
		{"exit, 2 bytes hold no code", 0, 2, 0x5_3333, []Request{{Exit, 0}}},
		{"another value", 0, 4, 0x1234, nil},
		{"another register", 4, 4, 0x5555, nil},
		{"one byte", 0, 1, 0x55, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []Request
			s := New(func(r Request) { got = append(got, r) })
			s.Store(c.off, c.size, c.v)
			if len(got) != len(c.want) || len(got) == 1 && got[0] != c.want[0] {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if s.Load(c.off, c.size) != 0 {
				t.Error("the register reads as something")
			}
		})
	}
}
