package vm

// Looking into generated code: names for Linux perf, listings of translations.

import (
	"fmt"

	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/boot/kernel"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/symbols"
)

// perfDir is where Linux perf looks for the names of generated code. Tests have their own.
var perfDir = "/tmp"

// inspect makes what cfg asks for of the translator. The payload is open.
func (m *Machine) inspect(cfg *Config) (jit.Options, error) {
	d := cfg.DumpCode
	dump := d.To != nil && (d.All || len(d.At) > 0)
	if (cfg.PerfMap || dump) && m.engine != "jit" {
		what := "a perf map"
		if dump {
			what = "a listing of generated code"
		}
		return jit.Options{}, fmt.Errorf("%s: engine %s generates none; it takes the translator, --engine jit on linux/amd64", what, m.engine)
	}
	o := jit.Options{Count: cfg.Stats, Keep: cfg.Keep}
	if cfg.JIT != "" {
		if err := o.Set(cfg.JIT); err != nil {
			return jit.Options{}, err
		}
	}
	table, err := m.symbols(cfg, cfg.PerfMap || dump)
	if err != nil {
		return jit.Options{}, err
	}
	if table.Len() > 0 {
		o.Symbol = table.Lookup
	}
	if dump {
		o.Dump = &jit.Dump{At: d.At, All: d.All, To: d.To}
	}
	if cfg.PerfMap {
		if m.perf, err = code.OpenPerfMap(perfDir); err != nil {
			return jit.Options{}, err
		}
		m.log.Info("names for perf", "file", m.perf.Name())
		o.PerfMap = m.perf
	}
	return o, nil
}

// symbols reads the files that cfg names, and if they are worth it those of the kernel and the firmware, which need not have any.
func (m *Machine) symbols(cfg *Config, used bool) (*symbols.Table, error) {
	t := &symbols.Table{}
	for _, s := range cfg.Symbols {
		if err := t.Add(s.Path, s.Loaded); err != nil {
			return nil, err
		}
	}
	if !used {
		return t, nil
	}
	for _, f := range []*kernel.File{m.payload.bios, m.payload.kernel} {
		if f == nil || f.Kind != kernel.ELF {
			continue
		}
		loaded := uint64(0)
		if f == m.payload.bios && !f.Fixed() {
			loaded = uint64(board.RAMBase)
		}
		if err := t.Add(f.Name, loaded); err != nil {
			m.log.Info("no symbols", "error", err)
		}
	}
	return t, nil
}
