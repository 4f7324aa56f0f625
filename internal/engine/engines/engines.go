// Package engines is the one list of execution engines: what --engine accepts, what the self-test runs, what a machine is made with.
package engines

import (
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
)

// Engine is one way to execute a hart.
type Engine struct {
	Name  string
	About string
	// New makes one for h, which is one of so many harts: what a machine may spend on its engines they share.
	New func(h *hart.Hart, harts int) engine.Engine
}

// For is New for every hart of a machine that has so many.
func (e Engine) For(harts int) func(*hart.Hart) engine.Engine {
	return func(h *hart.Hart) engine.Engine { return e.New(h, harts) }
}

// Auto is the name that stands for the fastest engine of this host.
const Auto = "auto"

// all is in order of speed on this host, the slowest first.
var all = []Engine{
	{"interp", "the reference interpreter", func(h *hart.Hart, harts int) engine.Engine {
		return interp.NewSize(h, interp.Pages(harts))
	}},
}

// All lists the engines that this host can run, the slowest first.
func All() []Engine { return all }

// Names lists what Lookup accepts.
func Names() []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return append(names, Auto)
}

// Lookup finds an engine by name. Auto and the empty string mean the fastest.
func Lookup(name string) (Engine, error) {
	if name == "" || name == Auto {
		return all[len(all)-1], nil
	}
	for _, e := range all {
		if e.Name == name {
			return e, nil
		}
	}
	return Engine{}, fmt.Errorf("engine %q is not known here: use one of %s", name, strings.Join(Names(), ", "))
}
