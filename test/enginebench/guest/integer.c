// Integer loops: a sort, a hash, a sieve, a matrix, and a mix of list, state machine and CRC.

#include "work.h"
#include <stdlib.h>
#include <string.h>

static void quicksort(uint32_t *a, long n) {
	while (n > 16) {
		uint32_t x = a[0], y = a[n / 2], z = a[n - 1];
		uint32_t pivot = x < y ? (y < z ? y : (x < z ? z : x)) : (x < z ? x : (y < z ? z : y));
		long i = 0, j = n - 1;
		for (;;) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i >= j)
				break;
			uint32_t t = a[i];
			a[i++] = a[j];
			a[j--] = t;
		}
		quicksort(a, i);
		a += i;
		n -= i;
	}
	for (long i = 1; i < n; i++) {
		uint32_t v = a[i];
		long j = i;
		for (; j > 0 && a[j - 1] > v; j--)
			a[j] = a[j - 1];
		a[j] = v;
	}
}

// Sorts 256 Ki numbers n times.
uint64_t bench_sort(long n) {
	enum { count = 1 << 18 };
	uint32_t *a = malloc(count * sizeof *a);
	uint64_t state = 1, sum = 0;
	check(a != NULL, "malloc");
	while (n-- > 0) {
		for (long i = 0; i < count; i++)
			a[i] = next(&state);
		quicksort(a, count);
		for (long i = 1; i < count; i++)
			check(a[i - 1] <= a[i], "order");
		sum = mix(sum, a[0] + (uint64_t)a[count / 2] * 3 + a[count - 1]);
	}
	return sum;
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const uint8_t *p) {
	static uint32_t k[64];
	if (k[0] == 0) { // the fractions of the cube roots of the first 64 primes, by integer arithmetic
		int found = 0;
		for (uint32_t c = 2; found < 64; c++) {
			int prime = 1;
			for (uint32_t d = 2; d * d <= c; d++)
				prime &= c % d != 0;
			if (!prime)
				continue;
			__uint128_t target = (__uint128_t)c << 96; // root < 2^35 of 32 fraction bits
			uint64_t root = 0;
			for (int bit = 34; bit >= 0; bit--) {
				__uint128_t t = root | 1ull << bit;
				if (t * t * t <= target)
					root = t;
			}
			k[found++] = root;
		}
	}
	uint32_t w[64];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];
		w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
	for (int i = 0; i < 64; i++) {
		uint32_t t = last + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
		uint32_t u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
		last = g, g = f, f = e, e = d + t;
		d = c, c = b, b = a, a = t + u;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += last;
}

// Hashes n MiB that begin with "abc" padded as the standard's first example is: the first block's digest is known.
uint64_t bench_sha256(long n) {
	static uint8_t data[1 << 16];
	uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	memcpy(data, "abc\x80", 4);
	data[63] = 24;
	sha256_block(h, data);
	check(h[0] == 0xba7816bf && h[7] == 0xf20015ad, "sha256 of abc");
	uint64_t state = 2;
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = next(&state);
	for (long i = 0; i < n * 16; i++)
		for (unsigned at = 0; at < sizeof data; at += 64)
			sha256_block(h, data + at);
	return (uint64_t)h[0] << 32 | h[7];
}

// Counts the primes below 4 Mi, n times.
uint64_t bench_sieve(long n) {
	enum { limit = 1 << 22 };
	uint8_t *composite = malloc(limit);
	uint64_t primes = 0;
	check(composite != NULL, "malloc");
	while (n-- > 0) {
		memset(composite, 0, limit);
		for (long i = 2; i * i < limit; i++)
			if (!composite[i])
				for (long j = i * i; j < limit; j += i)
					composite[j] = 1;
		for (long i = 2; i < limit; i++)
			primes += !composite[i];
	}
	return primes;
}

// Multiplies 128 by 128 matrices n times.
uint64_t bench_intmatrix(long n) {
	enum { size = 128 };
	static int32_t a[size][size], b[size][size], c[size][size];
	uint64_t state = 3, sum = 0;
	for (int i = 0; i < size; i++)
		for (int j = 0; j < size; j++) {
			a[i][j] = (int32_t)next(&state) >> 16;
			b[i][j] = (int32_t)next(&state) >> 16;
		}
	while (n-- > 0) {
		for (int i = 0; i < size; i++)
			for (int j = 0; j < size; j++) {
				uint32_t s = 0;
				for (int k = 0; k < size; k++)
					s += (uint32_t)a[i][k] * (uint32_t)b[k][j];
				c[i][j] = s;
			}
		a[n % size][n / size % size] += c[size - 1][n % size];
		sum = mix(sum, (uint32_t)c[n % size][0]);
	}
	return sum;
}

struct node {
	struct node *next;
	uint16_t key, value;
};

static struct node *merge_sort(struct node *list, int by_key) {
	if (!list || !list->next)
		return list;
	struct node *slow = list, *fast = list->next;
	while (fast && fast->next) {
		slow = slow->next;
		fast = fast->next->next;
	}
	struct node *right = merge_sort(slow->next, by_key), *left, *head = NULL, **tail = &head;
	slow->next = NULL;
	left = merge_sort(list, by_key);
	while (left && right) {
		int first = by_key ? left->key <= right->key : left->value <= right->value;
		struct node **from = first ? &left : &right;
		*tail = *from;
		tail = &(*from)->next;
		*from = *tail;
	}
	*tail = left ? left : right;
	return head;
}

static uint16_t crc16(uint16_t crc, uint16_t v) {
	for (int i = 0; i < 16; i++) {
		int bit = (crc ^ v) & 1;
		crc = crc >> 1 ^ (bit ? 0xa001 : 0);
		v >>= 1;
	}
	return crc;
}

// Recognises numbers: integers, decimals, exponents; counts how each token ended.
static void scan(const char *text, uint32_t ends[6]) {
	enum { start, sign, whole, fraction, exponent, invalid } state = start;
	for (;; text++) {
		char c = *text;
		int digit = c >= '0' && c <= '9';
		if (c == ',' || c == 0) {
			ends[state]++;
			state = start;
			if (c == 0)
				return;
			continue;
		}
		switch (state) {
		case start:
			state = digit ? whole : c == '+' || c == '-' ? sign : c == '.' ? fraction : invalid;
			break;
		case sign:
			state = digit ? whole : c == '.' ? fraction : invalid;
			break;
		case whole:
			state = digit ? whole : c == '.' ? fraction : c == 'e' ? exponent : invalid;
			break;
		case fraction:
			state = digit ? fraction : c == 'e' ? exponent : invalid;
			break;
		case exponent:
			state = digit || c == '-' ? exponent : invalid;
			break;
		case invalid:
			break;
		}
	}
}

// List, state machine and CRC, n rounds.
uint64_t bench_core(long n) {
	enum { nodes = 200, characters = 600 };
	static struct node pool[nodes];
	static char text[characters + 1];
	uint64_t state = 4;
	struct node *list = NULL;
	for (int i = 0; i < nodes; i++) {
		pool[i] = (struct node){list, i, next(&state)};
		list = &pool[i];
	}
	for (int i = 0; i < characters; i++)
		text[i] = "0123456789012345+-.e,,,x"[next(&state) % 24];
	uint16_t crc = 0;
	uint32_t ends[6] = {0};
	for (long round = 0; round < n; round++) {
		list = merge_sort(list, 0);
		struct node *reversed = NULL, *found = NULL;
		while (list) {
			struct node *rest = list->next;
			list->next = reversed;
			reversed = list;
			list = rest;
		}
		for (struct node *p = reversed; p && !found; p = p->next)
			if (p->key == round % nodes)
				found = p;
		found->value += round;
		crc = crc16(crc, reversed->value);
		list = merge_sort(reversed, 1);
		scan(text, ends);
		text[round % characters] ^= (round & 1) ? 1 : 0;
		for (struct node *p = list; p; p = p->next)
			crc = crc16(crc, p->value);
	}
	uint64_t sum = crc;
	for (int i = 0; i < 6; i++)
		sum = mix(sum, ends[i]);
	return sum;
}
