/* The client: one kernel TCP connection that sends, or receives, as fast as it can for a while.
 *
 *     stream ADDRESS up|down WARMUP SECONDS WATCH CORE
 *
 * WATCH is the process whose CPU time is taken; CORE the processor to stay on, or -1.  Says one line
 * of JSON.  A stream that stands still for STALL seconds is given up, so a run always ends.
 */
#include "usage.h"

#include "bulk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { STALL = 5, CHECKED = 4096 };

struct stream {
    int fd;
    bool up;
    uint64_t begin, end;    /* the measured time, nanoseconds of CLOCK_MONOTONIC */
    uint64_t position;      /* bytes sent or received so far */
    uint64_t wrong;         /* pieces whose first bytes were not the stream's */
    const unsigned char *pattern;
    const char *note;
};

struct reading {
    struct usage usage;
    uint64_t bytes;         /* that have come to the receiver */
    uint64_t cpu, user_cpu; /* of this process, nanoseconds */
};

static uint64_t nanoseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000;
}

/* Sent is what was acknowledged, not what waits in the socket. */
static struct reading take_reading(const struct stream *s, int watch)
{
    struct reading reading = {.usage = read_usage(watch), .bytes = s->position};
    struct rusage used;
    int queued = 0;
    if (s->up && !ioctl(s->fd, SIOCOUTQ, &queued))
        reading.bytes -= (uint64_t)queued;
    getrusage(RUSAGE_SELF, &used);
    reading.user_cpu = nanoseconds(used.ru_utime);
    reading.cpu = reading.user_cpu + nanoseconds(used.ru_stime);
    return reading;
}

/* One call of send or recv; false when the stream is over, or stands still. */
static bool move_some(struct stream *s, unsigned char *buffer)
{
    const unsigned char *expected = s->pattern + s->position % PERIOD;
    ssize_t moved = s->up ? send(s->fd, expected, BLOCK, MSG_NOSIGNAL) : recv(s->fd, buffer, BLOCK, 0);
    if (moved <= 0) {
        s->note = !moved ? "the server hung up" : errno == EAGAIN ? "the stream stands still" : strerror(errno);
        return false;
    }
    if (!s->up)
        s->wrong += memcmp(buffer, expected, moved < CHECKED ? (size_t)moved : CHECKED) != 0;
    s->position += (uint64_t)moved;
    return true;
}

static bool run(struct stream *s, int watch, struct reading *first, struct reading *last)
{
    unsigned char *buffer = malloc(BLOCK);
    bool going = true;
    while (going && monotonic() < s->begin)
        going = move_some(s, buffer);
    *first = take_reading(s, watch);
    while (going && monotonic() < s->end)
        going = move_some(s, buffer);
    *last = take_reading(s, watch);
    free(buffer);
    return going;
}

/* Ends our half and waits for what the server says it got; -1 if it says nothing. */
static int64_t confirmed(struct stream *s)
{
    char text[32] = "", *rest;
    size_t length = 0;
    ssize_t more;
    shutdown(s->fd, SHUT_WR);
    while (length < sizeof text - 1 && (more = recv(s->fd, text + length, sizeof text - 1 - length, 0)) > 0)
        length += (size_t)more;
    int64_t count = strtoll(text, &rest, 10);
    return rest != text && *rest == '\n' ? count : -1;
}

static void report(const struct stream *s, const struct reading *first, const struct reading *last, int64_t said)
{
    uint64_t server_user = last->usage.server_user - first->usage.server_user;
    uint64_t user = last->user_cpu - first->user_cpu;
    printf("{\"seconds\": %.6f, \"bytes\": %" PRIu64 ", \"total\": %" PRIu64 ", \"confirmed\": %" PRId64
           ", \"wrong\": %" PRIu64 ", \"note\": \"%s\", \"server_cpu_seconds\": %.6f, "
           "\"client_cpu_seconds\": %.6f, \"other_user_seconds\": %.6f}\n",
           seconds_between(first->usage.at, last->usage.at), last->bytes - first->bytes, s->position, said, s->wrong,
           s->note, seconds_between(first->usage.server, last->usage.server),
           seconds_between(first->cpu, last->cpu),
           seconds_between(server_user + user, last->usage.all_user - first->usage.all_user));
}

static int open_stream(const char *address, bool up)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(up ? PORT_DISCARD : PORT_GENERATE)};
    struct timeval limit = {.tv_sec = STALL};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !inet_aton(address, &to.sin_addr) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        connect(fd, (struct sockaddr *)&to, sizeof to))
        return -1;
    return fd;
}

static bool pin(int core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)(core < 0 ? 0 : core), &only);
    return core < 0 || !sched_setaffinity(0, sizeof only, &only);
}

int main(int count, char **words)
{
    struct linger reset = {.l_onoff = 1};
    struct reading first = {0}, last = {0};
    if (count != 7 || (strcmp(words[2], "up") && strcmp(words[2], "down"))) {
        fprintf(stderr, "usage: stream ADDRESS up|down WARMUP SECONDS WATCH CORE\n");
        return 2;
    }
    struct stream s = {.up = !strcmp(words[2], "up"), .pattern = make_pattern(), .note = ""};
    if (!s.pattern || !pin(atoi(words[6])) || (s.fd = open_stream(words[1], s.up)) < 0) {
        fprintf(stderr, "stream: %s: %s\n", words[1], strerror(errno));
        return 1;
    }
    s.begin = monotonic() + (uint64_t)(strtod(words[3], NULL) * 1e9);
    s.end = s.begin + (uint64_t)(strtod(words[4], NULL) * 1e9);
    bool good = run(&s, atoi(words[5]), &first, &last);
    report(&s, &first, &last, good && s.up ? confirmed(&s) : -1);
    setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME-WAIT, and no rest to read */
    close(s.fd);
    return good ? 0 : 1;
}
