/* The time, and what processes have used of the processors' by now. */
#include "usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ticks(uint64_t count)
{
    return count * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* User time of process `pid`, or 0 when it is gone. */
static uint64_t user_time(int pid)
{
    char path[64], line[1024];
    uint64_t user = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *rest = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* a name may hold blanks */
    if (rest)
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64, &user);
    fclose(file);
    return ticks(user);
}

struct usage read_usage(int watch)
{
    struct usage usage = {.at = monotonic()};
    uint64_t user = 0, nice = 0;
    FILE *file = fopen("/proc/stat", "r");
    if (file) {
        if (fscanf(file, "cpu %" SCNu64 " %" SCNu64, &user, &nice) == 2)
            usage.all_user = ticks(user + nice);
        fclose(file);
    }
    clockid_t clock;
    struct timespec t;
    if (watch && !clock_getcpuclockid(watch, &clock) && !clock_gettime(clock, &t)) {
        usage.server = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        usage.server_user = user_time(watch);
    }
    return usage;
}

double seconds_between(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e9 : 0;
}
