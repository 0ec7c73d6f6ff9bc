/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without libFuzzer.
 *
 *   fuzz_x [runs [seed]]    random inputs; input i of a seed is always the same one
 *   fuzz_x file...          the inputs in these files, as libFuzzer writes them
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

static unsigned long long run, seed;

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12; /* xorshift64*, Vigna 2014 */
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ULL >> 16;
}

static void
crashed(int number)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "signal %d in run %llu of seed %llu\n", number, run,
			 seed);

	if (write(2, text, (size_t)n) < 0)
		_exit(3);
	signal(number, SIG_DFL);
	raise(number);
}

static int
run_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	static uint8_t bytes[1 << 16];
	size_t n;

	if (f == NULL)
		return -1;
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	LLVMFuzzerTestOneInput(bytes, n);
	printf("%s: %zu bytes\n", name, n);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *given = getenv("HIGHWAY_SEED");
	unsigned long long runs = 10000, first = 0;
	char *end = NULL;

	if (argc > 1)
		runs = strtoull(argv[1], &end, 0);
	if (end != NULL && *end != 0) {
		for (int i = 1; i < argc; i++) {
			if (run_file(argv[i]) < 0) {
				perror(argv[i]);
				return 2;
			}
		}
		return 0;
	}
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : given != NULL ? strtoull(given, NULL, 0) : 0;
	if (seed == 0)
		seed = (unsigned long long)time(NULL) * 1000003u + (unsigned long long)getpid();
	if (argc > 3)
		first = strtoull(argv[3], NULL, 0);
	printf("seed %llu, %llu runs\n", seed, runs);
	fflush(stdout);
	signal(SIGABRT, crashed);
#ifndef __SANITIZE_ADDRESS__ /* which tells more than we would */
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	signal(SIGFPE, crashed);
#endif
	for (run = first; run < first + runs; run++) {
		uint64_t state = (seed * 0xd1342543de82ef95ULL + run * 0x9e3779b97f4a7c15ULL) | 1;
		size_t size;
		uint8_t *data;

		(void)next_random(&state);
		size = next_random(&state) % (fuzz_max_size + 1);
		/* Exactly as long as it is: a byte too far is seen by ASan. */
		data = malloc(size + (size == 0));
		if (data == NULL)
			return 2;
		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)next_random(&state);
		(void)LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	return 0;
}
