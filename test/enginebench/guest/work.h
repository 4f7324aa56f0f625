// The benchmarks of the guest's own: each does work that grows with n and returns a number that depends on all of it, the same
// on every correct machine.
#include <stdint.h>

typedef uint64_t benchmark(long n);

// Integer loops: integer.c
benchmark bench_sort, bench_sha256, bench_sieve, bench_intmatrix, bench_core;
// Floating point: float.c
benchmark bench_nbody, bench_mandelbrot, bench_matmul;
// Jumps and calls: control.c
benchmark bench_bytecode, bench_fib, bench_ackermann;
// Memory: memory.c
benchmark bench_memcpy, bench_read8, bench_write8;
// The kernel's services: system.c
benchmark bench_getppid, bench_clock, bench_pagefault, bench_pipe, bench_forkexec;

// A failed system call ends the program: a benchmark that did less work must not count.
void check(int ok, const char *what);

// A generator of numbers (xorshift) for input data.
static inline uint64_t next(uint64_t *state) {
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

// Mixes v into a running checksum.
static inline uint64_t mix(uint64_t sum, uint64_t v) { return (sum ^ v) * 0x9e3779b97f4a7c15u + 1; }
