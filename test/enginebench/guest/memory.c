// Memory in order: the C library's memcpy, and plain loops of 8-byte loads and stores.

#include "work.h"
#include <stdlib.h>
#include <string.h>

enum { block = 1 << 20, words = block / 8 };

static uint64_t *filled(uint64_t seed) {
	uint64_t *p = malloc(block);
	check(p != NULL, "malloc");
	for (long i = 0; i < words; i++)
		p[i] = next(&seed);
	return p;
}

// Copies 1 MiB n times.
uint64_t bench_memcpy(long n) {
	uint64_t *a = filled(7), *b = filled(8), sum = 0;
	for (long i = 0; i < n; i++) {
		memcpy(b, a, block);
		sum = mix(sum, b[i % words]);
		a[i % words] = sum;
	}
	return sum;
}

// Reads 1 MiB n times.
uint64_t bench_read8(long n) {
	uint64_t *a = filled(9), sum = 0;
	for (long i = 0; i < n; i++) {
		for (long j = 0; j < words; j++)
			sum += a[j];
		a[i % words] = sum;
	}
	return sum;
}

// Writes 1 MiB n times.
uint64_t bench_write8(long n) {
	uint64_t *a = filled(10), sum = 0;
	for (long i = 0; i < n; i++) {
		for (long j = 0; j < words; j++)
			a[j] = sum + j;
		sum = mix(sum, a[i % words]);
	}
	return sum;
}
