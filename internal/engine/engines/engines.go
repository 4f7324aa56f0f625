// Package engines is the one list of execution engines: what --engine accepts, what the self-test runs, what a machine is made with.
package engines

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/jit"
)

// Options are what the engines of a machine's harts share.
type Options struct {
	Harts int // at least 1: what a machine may spend on its engines they share
	// Log is told, once for a machine, when the translator cannot run here and the interpreter does instead. Nil for nobody.
	Log *slog.Logger
	JIT jit.Options
}

// Engine is one way to execute a hart.
type Engine struct {
	Name  string
	About string
	// Make prepares a machine with some options. What it returns makes the engine of each of its harts; one that has a Close method
	// wants it called when the hart has stopped for good.
	Make func(o Options) func(*hart.Hart) engine.Engine
	// Try says what of the host's processor the engine makes use of, in words. The error says why it cannot run on this host, where
	// the interpreter does instead.
	Try func() (features string, err error)
}

// Auto is the name that stands for the fastest engine of this host.
const Auto = "auto"

// all is in order of speed on this host, the slowest first.
var all = func() []Engine {
	list := []Engine{{"interp", "the reference interpreter", interpreters, func() (string, error) { return "", nil }}}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		list = append(list, Engine{"jit", "the translator to host code", translators, func() (string, error) {
			features, err := jit.Try()
			return features.String(), err
		}})
	}
	return list
}()

func interpreters(o Options) func(*hart.Hart) engine.Engine {
	return func(h *hart.Hart) engine.Engine { return interp.NewSize(h, interp.Pages(o.Harts)) }
}

// translators share the translations of their machine, which are made with the first.
func translators(o Options) func(*hart.Hart) engine.Engine {
	var (
		once, warn sync.Once
		m          *jit.Machine
		err        error
	)
	instead := interpreters(o)
	fallBack := func(h *hart.Hart) engine.Engine {
		warn.Do(func() {
			if o.Log != nil {
				o.Log.Warn("the translator cannot run here, so the interpreter does, several times slower", "reason", err)
			}
		})
		return instead(h)
	}
	return func(h *hart.Hart) engine.Engine {
		once.Do(func() { m, err = jit.NewMachine(h.RAM, o.JIT) })
		if err != nil {
			return fallBack(h)
		}
		e, failed := m.New(h, max(1, interp.Pages(o.Harts)/8)) // the interpreter beside it executes odd instructions only
		if failed != nil {
			err = errors.Join(failed, m.Close()) // the harts that follow do not try
			return fallBack(h)
		}
		return e
	}
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
