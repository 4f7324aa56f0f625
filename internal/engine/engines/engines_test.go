package engines

import "testing"

func TestEveryNameIsFoundAndAutoIsTheFastest(t *testing.T) {
	for _, name := range Names() {
		if _, err := Lookup(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := All()[len(All())-1].Name
	for _, name := range []string{Auto, ""} {
		if e, err := Lookup(name); err != nil || e.Name != last {
			t.Errorf("%q: %s, %v; want %s", name, e.Name, err, last)
		}
	}
	if _, err := Lookup("warp"); err == nil {
		t.Error("an unknown engine is found")
	}
}
