/* The load generator of the benchmarks: many real kernel TCP connections, few processes.
 *
 * One coordinator (main.c) reads steps from its standard input, one a line, and has its workers
 * (worker.c) carry each of them out; each step is answered by one line of JSON (report.c).
 * Connections stay open from step to step, so their cost can be read from outside in between.
 * A process may open only so many descriptors, hence several workers.
 *
 *     open  total=N [size=B] [window=W] [seconds=S] [ask=yes|no]
 *                                                     open until N are open; each says one request, or none
 *     echo  [seconds=S] [warmup=S] [inflight=M] [size=B] [pick=sticky|random] [rate=R] [workers=K]
 *                                                     with K: on the connections of the first K workers only
 *     churn [seconds=S] [warmup=S] [inflight=M] [size=B]   connect, one request, close, again
 *     drop  total=N [how=reset|fin] [window=W] [seconds=S]
 *                                                     close N of the open ones, the same share of each worker's
 *     close [how=reset|fin] [window=W] [seconds=S]    look for losses, then close everything
 *
 * Every request differs from every other, and every answer is compared byte for byte.
 */
#ifndef LOADGEN_H
#define LOADGEN_H

#include "usage.h" /* before any other */

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* ---- histogram.c: latencies in nanoseconds, each bucket at most 1/64 wide ---- */

enum { BUCKETS_PER_OCTAVE = 64, BUCKETS = 64 * BUCKETS_PER_OCTAVE };

struct histogram {
    uint64_t count, sum, least, most;
    uint64_t bucket[BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The least value that at least `quantile` (0 to 1) of the values do not exceed, bucket wise. */
uint64_t histogram_quantile(const struct histogram *h, double quantile);

/* ---- options.c: what the caller asked for ---- */

enum { HEADER = 16, MAX_SIZE = 1 << 20, MAX_WORKERS = 256, NOTE = 200 };

struct options {
    uint32_t address, addresses; /* first destination (host order), and how many in a row */
    uint16_t port, ports;
    int workers;
    long capacity; /* connections of a worker, of which one is filled after the other; 0: all get the same */
    int watch; /* process whose CPU time is read around each timed step; 0: none */
    int core;  /* processor that all of the generator is pinned to; -1: none */
};

enum verb { OPEN, ECHO, CHURN, DROP, CLOSE };

struct step {
    enum verb verb;
    bool random;         /* echo: each next request on any idle connection, not on the same */
    bool silent;         /* open: without a request */
    bool orderly;        /* drop, close: by FIN and waiting for the other one, not by reset */
    long total;          /* open, drop */
    long window;         /* open, orderly close: at most so many handshakes or ends at a time */
    long active;         /* echo: workers that take part; 0: all */
    long inflight;       /* echo, churn: requests on the way at any time */
    long size;           /* bytes of a request, and of its answer */
    double seconds;      /* echo, churn: measured time; open, drop, close: time limit */
    double warmup;       /* echo, churn: before the measured time */
    double rate;         /* echo: requests per second whatever the answers do; 0: closed loop */
    uint64_t begin, end; /* the measured time on CLOCK_MONOTONIC, nanoseconds */
    struct part {
        long target; /* open, drop, close: rows that the worker is to have at the end */
        long window; /* its part of the window */
    } parts[MAX_WORKERS];
};

/* Each returns false and writes a sentence into `error` when the text is not understood. */
bool parse_options(int count, char **words, struct options *options, char error[NOTE]);
bool parse_step(char *line, struct step *step, char error[NOTE]);

/* ---- worker.c, closing.c, connection.c: one process's part of the work ---- */

struct result {
    long open;       /* connections open when the step was over */
    long used;       /* rows of its table then: these, and attempts that failed */
    long failed;     /* connection attempts that failed */
    long messages;   /* requests answered, rightly, in the measured time */
    long wrong;      /* answers with a wrong byte, or bytes that nobody asked for */
    long broken;     /* connections that ended or failed under us */
    long unanswered; /* requests without an answer a while after the end */
    long skipped;    /* open loop: no idle connection to send a due request on */
    uint64_t duration;         /* nanoseconds the step took */
    uint64_t cpu, user_cpu;    /* nanoseconds of CPU time in the measured time */
    int last_errno;
    char note[NOTE];           /* the first thing that went wrong, in words */
    struct histogram connect;  /* from connect() to established */
    struct histogram answer;   /* from the request (open loop: from when it was due) to its answer */
};

enum state { UNUSED, CONNECTING, BUSY, IDLE, CLOSING };

struct connection {
    int fd;
    uint32_t got;      /* bytes of the answer so far */
    uint64_t sequence; /* of the request */
    uint64_t since;    /* when the connect or the request was, or was due */
    enum state state;
};

struct worker {
    const struct options *options;
    struct result *result;
    struct connection *table;
    long capacity, used; /* rows there are; rows that belong to open connections */
    long number;         /* of this worker, from 0 */
    long size;           /* of a request in the present step */
    uint64_t tuples;     /* connections ever tried: picks the next destination */
    uint64_t random;     /* state of the generator */
    int epoll;
    char *request, *buffer; /* MAX_SIZE each */
};

/* What an epoll event meant for its connection. */
enum outcome { NOTHING, CONNECTED, ANSWERED, REFUSED, BROKEN, ENDED };

uint64_t next_random(struct worker *w);
void complain(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool connection_open(struct worker *w, long row);
bool connection_ask(struct worker *w, long row, uint64_t since);
enum outcome connection_event(struct worker *w, long row, uint32_t events);
bool connection_end(struct worker *w, long row);
void connection_close(struct worker *w, long row);

enum { EVENTS = 1024 };

/* Of `total` things, how many are those of number `number` among `workers`. */
long share_of(long total, long number, long workers);
int wait_until(struct worker *w, struct epoll_event *events, uint64_t when);

void step_drop(struct worker *w, const struct step *step);
void step_close(struct worker *w, const struct step *step);

/* Carries out steps until `channel` is closed; never returns. */
void worker_run(const struct options *options, long number, const struct step *step, struct result *result,
                int channel) __attribute__((noreturn));

/* ---- shares.c: who does what of a step ---- */

/* Fills in `parts`, by what the workers have from the step before. */
void share_out(struct step *step, const struct options *options, const struct result *results);

/* ---- report.c: the lines of JSON ---- */

void report_error(const char *error);
void report(const struct step *step, const struct result *results, int workers, const struct usage *before,
            const struct usage *after);

#endif
