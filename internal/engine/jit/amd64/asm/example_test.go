package asm_test

import (
	"fmt"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
)

// A loop that sums 8-byte numbers: rdi points to them, rsi is how many there are. The listing comes from the assembler.
func Example() {
	a := new(asm.Assembler)
	a.Trace = func(at int, i asm.Inst) { fmt.Printf("%2d  %v\n", at, i) }
	a.Reset(make([]byte, 256), 0x400000)

	done := a.NewLabel()
	a.RR(asm.XOR, asm.S32, asm.RAX, asm.RAX)
	a.RR(asm.TEST, asm.S64, asm.RSI, asm.RSI)
	a.JccShort(asm.CondE, done)
	loop := a.Here()
	a.RM(asm.ADD, asm.S64, asm.RAX, asm.Indexed(asm.RDI, asm.RSI, 8, -8))
	a.R(asm.DEC, asm.S64, asm.RSI)
	a.Jcc(asm.CondNE, loop)
	a.Bind(done)
	a.RM(asm.LEA, asm.S64, asm.RCX, asm.Rel(done))
	a.XM(asm.MOVSD, asm.XMM1, asm.At(asm.RBX, 0x20))
	a.RI(asm.ROR, asm.S8, asm.RSI, 1)
	a.M(asm.SHLCL, asm.S16, asm.Scaled(asm.RAX, 4, 0))
	a.MR(asm.LOCK_XADD, asm.S32, asm.At(asm.RAX, 0), asm.R9)
	a.CallTo(0x401000)
	code, err := a.Finish()
	fmt.Printf("%d bytes, %v\n", len(code), err)

	// Output:
	//  0  xor eax,eax
	//  2  test rsi,rsi
	//  5  je L0
	//  7  add rax,QWORD PTR [rdi+rsi*8-0x8]
	// 12  dec rsi
	// 15  jne L1
	// 17  lea rcx,[rip+L0]
	// 24  movsd xmm1,QWORD PTR [rbx+0x20]
	// 29  ror sil,0x1
	// 32  shl WORD PTR [rax*4],cl
	// 40  lock xadd DWORD PTR [rax],r9d
	// 45  call 0x401000
	// 50 bytes, <nil>
}
