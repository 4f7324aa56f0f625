// What the kernel does for programs: the null call, the clock, page faults, pipes, processes.

#define _GNU_SOURCE
#include "work.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// n thousand null system calls.
uint64_t bench_getppid(long n) {
	long parent = getppid(), same = 0;
	for (long i = 0; i < n * 1000; i++)
		same += syscall(SYS_getppid) == parent;
	return same;
}

// n thousand readings of the clock, which must never go back.
uint64_t bench_clock(long n) {
	struct timespec t;
	int64_t before = 0;
	for (long i = 0; i < n * 1000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		int64_t now = t.tv_sec * 1000000000ll + t.tv_nsec;
		check(now >= before, "a clock that goes back");
		before = now;
	}
	return n * 1000;
}

// Touches 4096 fresh pages n times.
uint64_t bench_pagefault(long n) {
	enum { pages = 4096, page = 4096 };
	uint64_t sum = 0;
	for (long i = 0; i < n; i++) {
		char *p = mmap(NULL, (long)pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		check(p != MAP_FAILED, "mmap");
		check(madvise(p, (long)pages * page, MADV_NOHUGEPAGE) == 0, "madvise");
		for (long j = 0; j < pages; j++) {
			sum += p[j * page] + 1;
			p[j * page] = j;
		}
		check(munmap(p, (long)pages * page) == 0, "munmap");
	}
	return sum;
}

// Passes a number to another process and back, n thousand times.
uint64_t bench_pipe(long n) {
	int to[2], from[2];
	uint64_t v = 0, rounds = n * 1000;
	check(pipe(to) == 0 && pipe(from) == 0, "pipe");
	pid_t child = fork();
	check(child >= 0, "fork");
	if (child == 0) {
		for (uint64_t i = 0; i < rounds; i++) {
			check(read(to[0], &v, sizeof v) == sizeof v, "read");
			v = mix(v, i);
			check(write(from[1], &v, sizeof v) == sizeof v, "write");
		}
		_exit(0);
	}
	for (uint64_t i = 0; i < rounds; i++) {
		check(write(to[1], &v, sizeof v) == sizeof v, "write");
		check(read(from[0], &v, sizeof v) == sizeof v, "read");
	}
	int status;
	check(waitpid(child, &status, 0) == child && status == 0, "waitpid");
	return v;
}

// Starts a small program n times, each by fork and exec.
uint64_t bench_forkexec(long n) {
	uint64_t good = 0;
	for (long i = 0; i < n; i++) {
		pid_t child = fork();
		check(child >= 0, "fork");
		if (child == 0) {
			execl("/proc/self/exe", "work", "exit", (char *)NULL);
			_exit(127);
		}
		int status;
		check(waitpid(child, &status, 0) == child, "waitpid");
		good += status == 0;
	}
	return good;
}
