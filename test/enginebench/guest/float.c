// Double-precision loops. Results are folded to a number by their bits: a machine that rounds otherwise, once, is found out.

#include "work.h"
#include <math.h>
#include <string.h>

static uint64_t bits(double d) {
	uint64_t u;
	memcpy(&u, &d, sizeof u);
	return u;
}

// Moves five bodies n thousand steps under gravity.
uint64_t bench_nbody(long n) {
	enum { bodies = 5 };
	double x[bodies][3] = {{0, 0, 0}, {4.84, -1.16, -0.10}, {8.34, 4.12, -0.40}, {12.89, -15.11, -0.22}, {15.37, -25.91, 0.17}};
	double v[bodies][3] = {{0, 0, 0}, {0.60, 2.81, -0.02}, {-1.01, 1.82, 0.008}, {1.08, 0.86, -0.01}, {0.97, 0.59, -0.03}};
	const double mass[bodies] = {39.47, 0.037, 0.011, 0.0017, 0.002}, dt = 0.001;
	for (long step = 0; step < n * 1000; step++) {
		for (int i = 0; i < bodies; i++)
			for (int j = i + 1; j < bodies; j++) {
				double d[3], r2 = 0;
				for (int k = 0; k < 3; k++) {
					d[k] = x[i][k] - x[j][k];
					r2 += d[k] * d[k];
				}
				double f = dt / (r2 * sqrt(r2));
				for (int k = 0; k < 3; k++) {
					v[i][k] -= d[k] * mass[j] * f;
					v[j][k] += d[k] * mass[i] * f;
				}
			}
		for (int i = 0; i < bodies; i++)
			for (int k = 0; k < 3; k++)
				x[i][k] += dt * v[i][k];
	}
	uint64_t sum = 0;
	for (int i = 0; i < bodies; i++)
		for (int k = 0; k < 3; k++)
			sum = mix(mix(sum, bits(x[i][k])), bits(v[i][k]));
	return sum;
}

// Iterates over a picture of 160 by 160 points, up to n times each.
uint64_t bench_mandelbrot(long n) {
	enum { size = 160 };
	uint64_t sum = 0;
	for (int row = 0; row < size; row++)
		for (int column = 0; column < size; column++) {
			double cr = column * (3.0 / size) - 2.2, ci = row * (2.6 / size) - 1.3, zr = 0, zi = 0;
			long i = 0;
			for (; i < n && zr * zr + zi * zi <= 4; i++) {
				double t = zr * zr - zi * zi + cr;
				zi = 2 * zr * zi + ci;
				zr = t;
			}
			sum = mix(sum, i);
		}
	return sum;
}

// Multiplies 128 by 128 matrices n times.
uint64_t bench_matmul(long n) {
	enum { size = 128 };
	static double a[size][size], b[size][size], c[size][size];
	uint64_t state = 5, sum = 0;
	for (int i = 0; i < size; i++)
		for (int j = 0; j < size; j++) {
			a[i][j] = (double)(int32_t)next(&state) / 2147483648.0;
			b[i][j] = (double)(int32_t)next(&state) / 2147483648.0;
		}
	while (n-- > 0) {
		for (int i = 0; i < size; i++)
			for (int j = 0; j < size; j++) {
				double s = 0;
				for (int k = 0; k < size; k++)
					s += a[i][k] * b[k][j];
				c[i][j] = s;
			}
		a[n % size][n / size % size] += c[size - 1][n % size] / size;
		sum = mix(sum, bits(c[n % size][n % 7]));
	}
	return sum;
}
