/* The coordinator: starts the workers, hands them one step after the other, reports each. */
#include "loadgen.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What coordinator and workers share: the step at hand, and a result for each worker. */
struct shared {
    struct step step;
    struct result results[];
};

static long raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return (long)limit.rlim_cur;
}

static bool pin(int core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)(core < 0 ? 0 : core), &only);
    return core < 0 || !sched_setaffinity(0, sizeof only, &only);
}

static bool start_workers(const struct options *o, struct shared *shared, int *channels)
{
    for (int i = 0; i < o->workers; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
            return false;
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (!pid) {
            for (int k = 0; k < i; k++)
                close(channels[k]);
            close(pair[0]);
            close(STDIN_FILENO);
            worker_run(o, i, &shared->step, &shared->results[i], pair[1]);
        }
        close(pair[1]);
        channels[i] = pair[0];
    }
    return true;
}

static void sleep_until(uint64_t when)
{
    struct timespec t = {.tv_sec = (time_t)(when / 1000000000u), .tv_nsec = (long)(when % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static bool carry_out(const struct options *o, struct shared *shared, const int *channels)
{
    struct step *s = &shared->step;
    struct usage before = {0}, after = {0};
    char go = 0;
    share_out(s, o, shared->results);
    s->begin = monotonic() + (uint64_t)(s->warmup * 1e9);
    s->end = s->begin + (uint64_t)(s->seconds * 1e9);
    for (int i = 0; i < o->workers; i++)
        if (write(channels[i], &go, 1) != 1)
            return false;
    if (s->verb == ECHO || s->verb == CHURN) {
        sleep_until(s->begin);
        before = read_usage(o->watch);
        sleep_until(s->end);
        after = read_usage(o->watch);
    }
    for (int i = 0; i < o->workers; i++)
        if (read(channels[i], &go, 1) != 1)
            return false;
    report(s, shared->results, o->workers, &before, &after);
    return true;
}

/* Each connection is a descriptor of its worker, which has some others beside. */
static bool fits(const struct step *s, const struct options *o, long limit, char error[NOTE])
{
    long wanted = (s->verb == OPEN ? s->total : s->verb == CHURN ? s->inflight : 0) / o->workers + 32;
    if (s->verb == OPEN && o->capacity) {
        if (s->total > o->capacity * o->workers) {
            snprintf(error, NOTE, "total: %ld is not allowed; %d workers hold %ld each", s->total, o->workers,
                     o->capacity);
            return false;
        }
        wanted = (s->total < o->capacity ? s->total : o->capacity) + 32;
    }
    if (wanted <= limit)
        return true;
    snprintf(error, NOTE, "%d workers would need %ld descriptors each, but a process may open %ld; give more workers",
             o->workers, wanted, limit);
    return false;
}

int main(int count, char **words)
{
    static int channels[MAX_WORKERS];
    struct options options;
    char error[NOTE], *line = NULL;
    size_t capacity = 0;
    signal(SIGPIPE, SIG_IGN);
    if (!parse_options(count - 1, words + 1, &options, error)) {
        report_error(error);
        return 2;
    }
    if (!pin(options.core)) {
        report_error("core: there is no such processor, or this process may not use it");
        return 2;
    }
    long limit = raise_descriptor_limit();
    size_t size = sizeof(struct shared) + (size_t)options.workers * sizeof(struct result);
    struct shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !start_workers(&options, shared, channels)) {
        perror("loadgen: workers");
        return 1;
    }
    while (getline(&line, &capacity, stdin) > 0) {
        struct step step;
        if (!parse_step(line, &step, error) || !fits(&step, &options, limit, error)) {
            report_error(error);
            continue;
        }
        shared->step = step;
        if (!carry_out(&options, shared, channels)) {
            report_error("a worker of the load generator died");
            return 1;
        }
    }
    for (int i = 0; i < options.workers; i++)
        close(channels[i]);
    while (wait(NULL) > 0)
        ;
    free(line);
    return 0;
}
