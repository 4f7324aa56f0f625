// Indirect jumps and deep calls.

#include "work.h"

enum { PUSH, ADD, SUB, MUL, AND, DUP, SWAP, LOAD, STORE, JNZ, HALT };

// A stack machine with threaded dispatch: one indirect jump an operation.
static uint64_t __attribute__((noinline)) interpret(const int32_t *code, uint64_t *local) {
	static void *const labels[] = {&&push, &&add, &&sub, &&mul, &&and, &&dup, &&swap, &&load, &&store, &&jnz, &&halt};
	uint64_t stack[16], *sp = stack, t;
	const int32_t *pc = code;
#define NEXT goto *labels[*pc++]
	NEXT;
push:
	*sp++ = *pc++;
	NEXT;
add:
	sp--;
	sp[-1] += sp[0];
	NEXT;
sub:
	sp--;
	sp[-1] -= sp[0];
	NEXT;
mul:
	sp--;
	sp[-1] *= sp[0];
	NEXT;
and:
	sp--;
	sp[-1] &= sp[0];
	NEXT;
dup:
	*sp = sp[-1];
	sp++;
	NEXT;
swap:
	t = sp[-1];
	sp[-1] = sp[-2];
	sp[-2] = t;
	NEXT;
load:
	*sp++ = local[*pc++];
	NEXT;
store:
	local[*pc++] = *--sp;
	NEXT;
jnz:
	t = *--sp;
	pc = t ? code + *pc : pc + 1;
	NEXT;
halt:
	return local[1];
}

// Runs a byte-code loop of n million rounds, some twenty operations each.
uint64_t bench_bytecode(long n) {
	static const int32_t code[] = {
		// local 0 counts down, local 1 is the sum, local 2 a generator
		LOAD, 2, PUSH, 1103515245, MUL, PUSH, 12345, ADD, DUP, STORE, 2, // 0
		PUSH, 255, AND, LOAD, 1, SWAP, ADD, STORE, 1,                    // 11
		LOAD, 2, PUSH, 4096, AND, JNZ, 33,                               // 20
		LOAD, 1, DUP, ADD, STORE, 1,                                     // 27: skipped half of the time
		LOAD, 0, PUSH, 1, SUB, DUP, STORE, 0, JNZ, 0, HALT,              // 33
	};
	uint64_t local[3] = {n * 1000000, 0, 6};
	return interpret(code, local);
}

static uint64_t __attribute__((noinline)) fib(uint64_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

uint64_t bench_fib(long n) { return fib(n); }

static long __attribute__((noinline)) ackermann(long m, long n) {
	return m == 0 ? n + 1 : ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

// ackermann(3, n): deep as well as many.
uint64_t bench_ackermann(long n) { return ackermann(3, n); }
