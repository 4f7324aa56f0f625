package jit

// What it costs to translate.

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/optimize"
	"github.com/vmproject/vm/internal/engine/jit/rv64"
	"github.com/vmproject/vm/internal/memory"
)

// BenchmarkCompile translates generated user-level programs, front end to code, straight through each page.
func BenchmarkCompile(b *testing.B) {
	img, err := difftest.Build(difftest.GenerateMany(1, 20, difftest.All))
	if err != nil {
		b.Fatal(err)
	}
	const routines = 64 << 10
	base := uintptr(0x1000_0000)
	buf := make([]byte, routines+maxBlock)
	r, _, err := amd64.MakeRoutines(asm.Host(), buf[:routines], base)
	if err != nil {
		b.Fatal(err)
	}
	c := amd64.New(asm.Host(), r, base)
	var (
		block                ir.Block
		scratch              []ir.Inst
		builder              rv64.Builder
		guest, bytes, blocks int
	)
	b.ReportAllocs()
	for b.Loop() {
		for at := 0; at+memory.PageSize <= len(img.Code); at += memory.PageSize {
			source := rv64.Code{Bytes: img.Code[at : at+memory.PageSize], Page: 0x8000_0000, MaxGuest: rv64.MaxGuest,
				Next: func() (uint16, uint64, bool) { return 0, 0, false }}
			for off := 0; off < memory.PageSize; {
				builder.Build(&block, &source, uint16(off), false)
				scratch = optimize.Group(block.Insts, scratch)
				block.Insts, scratch = scratch, block.Insts
				out, err := c.Compile(&block, buf[routines:], base+routines, func(int32, bool) (uintptr, bool) { return 0, false })
				if err != nil {
					b.Fatal(err)
				}
				guest, bytes, blocks = guest+block.Guest, bytes+len(out.Bytes), blocks+1
				off = int(block.Insts[len(block.Insts)-1].Off) + 2
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(guest), "ns/instruction")
	b.ReportMetric(float64(bytes)/float64(guest), "bytes/instruction")
	b.ReportMetric(float64(guest)/float64(blocks), "instructions/block")
}
