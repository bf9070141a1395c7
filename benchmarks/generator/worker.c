/* One process of the generator: carries out its share of each step, on one epoll. */
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const uint64_t SECOND = 1000000000u;
static const uint64_t GRACE = 2000000000u; /* how long answers may be late after the end */

/* Of `total` things, how many are this worker's. */
static long share(const struct worker *w, long total)
{
    return share_of(total, w->number, w->options->workers);
}

static void reserve(struct worker *w, long rows)
{
    if (rows <= w->capacity)
        return;
    w->table = realloc(w->table, (size_t)rows * sizeof *w->table);
    if (!w->table) {
        perror("loadgen: memory for connections");
        _exit(1);
    }
    for (long row = w->capacity; row < rows; row++)
        w->table[row] = (struct connection){.fd = -1};
    w->capacity = rows;
}

int wait_until(struct worker *w, struct epoll_event *events, uint64_t when)
{
    uint64_t now = monotonic(), rest = when > now ? when - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(rest / SECOND), .tv_nsec = (long)(rest % SECOND)};
    int count = epoll_pwait2(w->epoll, events, EVENTS, &timeout, NULL);
    return count < 0 ? 0 : count;
}

/* ---- open ---- */

/* Every connection says one request, unless told not to: its answer proves that the server has accepted it. */
static void step_open(struct worker *w, const struct step *s)
{
    struct epoll_event events[EVENTS];
    const struct part *part = &s->parts[w->number];
    long goal = part->target, window = part->window, started = w->used, pending = 0, next = w->used;
    uint64_t limit = monotonic() + (uint64_t)(s->seconds * 1e9);
    if (goal <= w->used)
        return;
    reserve(w, goal);
    w->used = goal;
    while ((next < goal || pending) && monotonic() < limit) {
        for (; next < goal && pending < window; next++) {
            if (connection_open(w, next))
                pending++;
            else
                w->result->failed++;
        }
        int count = wait_until(w, events, limit);
        for (int i = 0; i < count; i++) {
            long row = events[i].data.u32;
            uint64_t since = w->table[row].since;
            enum outcome outcome = connection_event(w, row, events[i].events);
            bool fresh = row >= started;
            if (outcome == CONNECTED) {
                histogram_add(&w->result->connect, monotonic() - since);
                if (!s->silent && connection_ask(w, row, monotonic()))
                    continue;
                outcome = s->silent ? CONNECTED : BROKEN;
            }
            if (outcome == ANSWERED)
                histogram_add(&w->result->answer, monotonic() - since);
            else if (outcome == REFUSED || outcome == BROKEN)
                fresh ? w->result->failed++ : w->result->broken++;
            if (outcome != NOTHING && fresh)
                pending--;
        }
    }
    if (next < goal || pending)
        complain(w, "time is up: %ld connections not tried, %ld without an answer", goal - next, pending);
    w->result->failed += goal - next + pending;
    for (long row = started; row < goal; row++)
        if (w->table[row].state == CONNECTING || w->table[row].state == BUSY)
            connection_close(w, row);
}

/* ---- measured time ---- */

enum phase { WARMING, MEASURING, DRAINING };

struct load {
    const struct step *step;
    enum phase phase;
    long inflight;
    double due, gap; /* open loop: when the next request is due, and the time between two */
    uint64_t cpu, user_cpu;
};

static void cpu_time(uint64_t *all, uint64_t *user)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *user = (uint64_t)r.ru_utime.tv_sec * SECOND + (uint64_t)r.ru_utime.tv_usec * 1000;
    *all = *user + (uint64_t)r.ru_stime.tv_sec * SECOND + (uint64_t)r.ru_stime.tv_usec * 1000;
}

/* Enters the phase that the time of day asks for; false when the step is over. */
static bool advance(struct worker *w, struct load *l)
{
    uint64_t now = monotonic();
    if (l->phase == WARMING && now >= l->step->begin) {
        l->phase = MEASURING;
        cpu_time(&l->cpu, &l->user_cpu);
    }
    if (l->phase == MEASURING && now >= l->step->end) {
        l->phase = DRAINING;
        cpu_time(&w->result->cpu, &w->result->user_cpu);
        w->result->cpu -= l->cpu;
        w->result->user_cpu -= l->user_cpu;
    }
    return l->phase != DRAINING || (l->inflight > 0 && now < l->step->end + GRACE);
}

/* When `advance` or `ask_due` has something to do again, events or not. */
static uint64_t next_turn(const struct load *l)
{
    if (l->phase == DRAINING)
        return l->step->end + GRACE;
    uint64_t change = l->phase == WARMING ? l->step->begin : l->step->end;
    return l->gap > 0 && l->due < (double)change ? (uint64_t)l->due : change;
}

static void count_answer(struct worker *w, const struct load *l, uint64_t since)
{
    uint64_t now = monotonic();
    if (l->phase != MEASURING || now >= l->step->end)
        return;
    w->result->messages++;
    histogram_add(&w->result->answer, now - since);
}

/* ---- echo ---- */

/* An idle connection by chance, or -1 when a hundred tries found none. */
static long pick_idle(struct worker *w)
{
    for (int i = 0; i < 100; i++) {
        long row = (long)(next_random(w) % (uint64_t)w->used);
        if (w->table[row].state == IDLE)
            return row;
    }
    return -1;
}

static void ask(struct worker *w, struct load *l, long row, uint64_t since)
{
    if (row < 0)
        w->result->skipped++;
    else if (connection_ask(w, row, since))
        l->inflight++;
    else
        w->result->broken++;
}

/* Open loop: sends what is due.  Its latency counts from when it was due, late or not. */
static void ask_due(struct worker *w, struct load *l)
{
    for (double now = (double)monotonic(); l->due <= now; l->due += l->gap)
        ask(w, l, pick_idle(w), (uint64_t)l->due);
}

static void start_echo(struct worker *w, struct load *l)
{
    const struct step *s = l->step;
    long active = s->active ? s->active : w->options->workers;
    if (!w->used || w->number >= active)
        return;
    if (s->rate > 0) {
        l->gap = 1e9 * (double)active / s->rate;
        l->due = (double)monotonic() + l->gap * (double)w->number / (double)active;
        return;
    }
    long wanted = share_of(s->inflight, w->number, active);
    if (wanted > w->used)
        wanted = w->used;
    for (long i = 0; i < wanted; i++) {
        long row = s->random ? pick_idle(w) : i * w->used / wanted; /* sticky: evenly spread */
        ask(w, l, row >= 0 && w->table[row].state == IDLE ? row : -1, monotonic());
    }
}

static void echo_event(struct worker *w, struct load *l, const struct epoll_event *event)
{
    long row = event->data.u32;
    bool busy = w->table[row].state == BUSY;
    uint64_t since = w->table[row].since;
    enum outcome outcome = connection_event(w, row, event->events);
    if (outcome == NOTHING)
        return;
    if (outcome == ANSWERED)
        count_answer(w, l, since);
    else
        w->result->broken++;
    if (!busy)
        return;
    l->inflight--;
    if (l->phase != DRAINING && l->gap == 0)
        ask(w, l, l->step->random || outcome != ANSWERED ? pick_idle(w) : row, monotonic());
}

static void step_echo(struct worker *w, const struct step *s)
{
    struct epoll_event events[EVENTS];
    struct load load = {.step = s};
    start_echo(w, &load);
    while (advance(w, &load)) {
        if (load.gap > 0 && load.phase != DRAINING)
            ask_due(w, &load);
        int count = wait_until(w, events, next_turn(&load));
        for (int i = 0; i < count; i++)
            echo_event(w, &load, &events[i]);
    }
    w->result->unanswered = load.inflight;
}

/* ---- churn: connect, one request, its answer, close, and again ---- */

static void churn_open(struct worker *w, struct load *l, long row)
{
    for (int tries = 5; tries; tries--) {
        if (connection_open(w, row)) {
            l->inflight++;
            return;
        }
        w->result->failed++;
    }
}

static void churn_event(struct worker *w, struct load *l, const struct epoll_event *event)
{
    long row = event->data.u32;
    uint64_t since = w->table[row].since;
    enum outcome outcome = connection_event(w, row, event->events);
    if (outcome == CONNECTED) {
        if (l->phase == MEASURING)
            histogram_add(&w->result->connect, monotonic() - since);
        if (connection_ask(w, row, since)) /* the answer's time includes the handshake */
            return;
        outcome = BROKEN;
    }
    if (outcome == NOTHING)
        return;
    if (outcome == ANSWERED)
        count_answer(w, l, since);
    else
        outcome == REFUSED ? w->result->failed++ : w->result->broken++;
    if (row < w->used) /* one of the idle connections that are open beside */
        return;
    connection_close(w, row);
    l->inflight--;
    if (l->phase != DRAINING)
        churn_open(w, l, row);
}

static void step_churn(struct worker *w, const struct step *s)
{
    struct epoll_event events[EVENTS];
    struct load load = {.step = s};
    long wanted = share(w, s->inflight);
    reserve(w, w->used + wanted);
    for (long i = 0; i < wanted; i++)
        churn_open(w, &load, w->used + i);
    while (advance(w, &load)) {
        int count = wait_until(w, events, next_turn(&load));
        for (int i = 0; i < count; i++)
            churn_event(w, &load, &events[i]);
    }
    w->result->unanswered = load.inflight;
    for (long i = 0; i < wanted; i++)
        connection_close(w, w->used + i);
}

static void carry_out(struct worker *w, const struct step *s)
{
    uint64_t start = monotonic();
    memset(w->result, 0, sizeof *w->result);
    w->size = s->size;
    switch (s->verb) {
    case OPEN: step_open(w, s); break;
    case ECHO: step_echo(w, s); break;
    case CHURN: step_churn(w, s); break;
    case DROP: step_drop(w, s); break;
    case CLOSE: step_close(w, s); break;
    }
    w->result->duration = monotonic() - start;
    w->result->used = w->used;
    for (long row = 0; row < w->used; row++)
        w->result->open += w->table[row].state != UNUSED;
}

void worker_run(const struct options *options, long number, const struct step *step, struct result *result,
                int channel)
{
    struct worker w = {.options = options, .number = number, .result = result};
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w.random = 0x9E3779B97F4A7C15u * (uint64_t)(number + 1);
    w.epoll = epoll_create1(EPOLL_CLOEXEC);
    w.request = malloc(MAX_SIZE);
    w.buffer = malloc(MAX_SIZE);
    if (w.epoll < 0 || !w.request || !w.buffer) {
        perror("loadgen: worker");
        _exit(1);
    }
    for (long i = 0; i < MAX_SIZE; i++)
        w.request[i] = (char)next_random(&w);
    while (read(channel, &go, 1) == 1) {
        carry_out(&w, step);
        if (write(channel, &go, 1) != 1)
            break;
    }
    _exit(0);
}
