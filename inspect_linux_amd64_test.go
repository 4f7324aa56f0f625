package vm

// What can be seen of generated code from outside.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

func TestPerfMapAndDumpCodeNameSymbols(t *testing.T) {
	old := perfDir
	perfDir = t.TempDir()
	defer func() { perfDir = old }()
	symbols := file(t, "symbols", []byte("0000000080000000 T start\n0000000080100000 T far\n"))
	var listing bytes.Buffer
	m, err := New(Config{
		Memory: 8 << 20, Engine: "jit", Stats: true, PerfMap: true, Symbols: []Symbols{{Path: symbols}},
		Bios:     firmware(t, func(a *asm.Assembler) { a.Nop(); finish(a, 0x5555) }),
		DumpCode: &DumpCode{At: []uint64{0x8000_0000}, To: &listing},
	})
	if err != nil {
		t.Fatal(err)
	}
	status, err := m.Run(t.Context())
	if err != nil || status.ExitCode != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	s := m.Stats().String()
	for _, want := range []string{"engine jit\n", "translator\n", "loads and stores in generated code\n", "exits from generated code\n", "blocks compiled", "translator's settings\n"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in the figures:\n%s", want, s)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	names, err := os.ReadFile(filepath.Join(perfDir, fmt.Sprintf("perf-%d.map", os.Getpid())))
	if err != nil || !strings.Contains(string(names), " guest start (80000000)\n") {
		t.Errorf("%v, %q", err, names)
	}
	if s := listing.String(); !strings.HasPrefix(s, "block at 0x80000000 start, physical 0x80000000: ") || !strings.Contains(s, "addi zero, zero, 0") {
		t.Errorf("%s", s)
	}
}
