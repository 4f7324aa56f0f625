// work NAME N: runs one benchmark and prints its result.
// work data BYTES FILE: writes text that compresses as text does, for the programs that need input.
// work exit: ends at once; what bench_forkexec starts.

#include "work.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	benchmark *run;
} table[] = {
	{"sort", bench_sort},           {"sha256", bench_sha256},         {"sieve", bench_sieve},
	{"intmatrix", bench_intmatrix}, {"core", bench_core},             {"nbody", bench_nbody},
	{"mandelbrot", bench_mandelbrot}, {"matmul", bench_matmul},       {"bytecode", bench_bytecode},
	{"fib", bench_fib},             {"ackermann", bench_ackermann},   {"memcpy", bench_memcpy},
	{"read8", bench_read8},         {"write8", bench_write8},         {"getppid", bench_getppid},
	{"clock", bench_clock},         {"pagefault", bench_pagefault},   {"pipe", bench_pipe},
	{"forkexec", bench_forkexec},
};

void check(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void write_data(long size, const char *path) {
	uint64_t state = 88172645463325252u;
	char words[512][12];
	for (int i = 0; i < 512; i++) {
		int length = 2 + next(&state) % 9;
		for (int j = 0; j < length; j++)
			words[i][j] = 'a' + next(&state) % 26;
		words[i][length] = 0;
	}
	FILE *f = fopen(path, "w");
	check(f != NULL, path);
	for (long done = 0; done < size;) {
		uint64_t r = next(&state);
		int i = (r & 511) * (r >> 9 & 511) / 512; // early words are frequent
		done += fprintf(f, "%s%c", words[i], (r >> 20) % 11 ? ' ' : '\n');
	}
	check(fclose(f) == 0, path);
}

int main(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "exit") == 0)
		return 0;
	if (argc == 4 && strcmp(argv[1], "data") == 0) {
		write_data(atol(argv[2]), argv[3]);
		return 0;
	}
	for (unsigned i = 0; argc == 3 && i < sizeof table / sizeof *table; i++)
		if (strcmp(argv[1], table[i].name) == 0) {
			printf("%016llx\n", (unsigned long long)table[i].run(atol(argv[2])));
			return 0;
		}
	fprintf(stderr, "work: no such benchmark\n");
	return 2;
}
