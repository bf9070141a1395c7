/* usage.c: the time, and what processes have used of the processors' by now. */
#ifndef USAGE_H
#define USAGE_H

#define _GNU_SOURCE /* this header comes before any other */

#include <stdint.h>

struct usage {
    uint64_t at;          /* CLOCK_MONOTONIC, nanoseconds */
    uint64_t server;      /* CPU time of the watched process, all threads, nanoseconds */
    uint64_t server_user; /* its user part, in clock ticks' precision */
    uint64_t all_user;    /* user CPU time of the whole machine */
};

uint64_t monotonic(void);
/* `watch` is a process id, or 0 for none. */
struct usage read_usage(int watch);
/* From one reading to a later one; 0 where a counter went back. */
double seconds_between(uint64_t from, uint64_t to);

#endif
