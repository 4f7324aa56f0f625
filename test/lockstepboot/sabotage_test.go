package lockstepboot

import (
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/lockstep"
)

// saboteur is an engine that goes wrong once: at its first stop at which at instructions have retired.
type saboteur struct {
	lockstep.Engine
	h    *hart.Hart
	at   uint64
	do   func(*hart.Hart)
	done bool
}

func (s *saboteur) RunFor(n uint64) (engine.Exit, bool) {
	exit, exited := s.Engine.RunFor(n)
	if !s.done && s.h.Instret >= s.at {
		s.done = true
		s.do(s.h)
	}
	return exit, exited
}

type newEngine func(*hart.Hart) (lockstep.Engine, error)

func sabotaged(f newEngine, at uint64, do func(*hart.Hart)) newEngine {
	return func(h *hart.Hart) (lockstep.Engine, error) {
		e, err := f(h)
		return &saboteur{Engine: e, h: h, at: at, do: do}, err
	}
}
