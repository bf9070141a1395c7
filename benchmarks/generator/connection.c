/* One connection: connect, send a request, take in its answer and compare it, close. */
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t next_random(struct worker *w) /* xorshift64 */
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    return w->random ^= w->random << 17;
}

/* Keeps the first complaint of a step: the later ones are mostly its consequences. */
void complain(struct worker *w, const char *format, ...)
{
    if (w->result->note[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->result->note, NOTE, format, arguments);
    va_end(arguments);
}

static bool refused(struct worker *w, long row, int error, const char *call)
{
    w->result->last_errno = error;
    complain(w, "%s: %s", call, strerror(error));
    connection_close(w, row);
    return false;
}

/* The destination of the n-th attempt of this worker: ports first, then addresses.  Spreading them
 * leaves each (address, port) its own range of source ports. */
static struct sockaddr_in destination(struct worker *w)
{
    const struct options *o = w->options;
    uint64_t n = (uint64_t)w->number + w->tuples++ * (uint64_t)o->workers;
    uint16_t port = (uint16_t)(o->port + n % o->ports);
    uint32_t address = o->address + (uint32_t)(n / o->ports % o->addresses);
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

bool connection_open(struct worker *w, long row)
{
    struct connection *c = &w->table[row];
    struct sockaddr_in to = destination(w);
    *c = (struct connection){.state = CONNECTING, .since = monotonic()};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return refused(w, row, errno, "socket");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        return refused(w, row, errno, "connect");
    /* Registered once and for all: edge-triggered, an idle connection costs no further call. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = (uint32_t)row};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &e))
        return refused(w, row, errno, "epoll_ctl");
    return true;
}

/* The request's first bytes say which connection and which request it is, so that an answer
 * that belongs to another one is found out; the rest is the same random text in all. */
static void stamp(struct worker *w, long row)
{
    uint64_t header[2] = {(uint64_t)w->number << 32 | (uint64_t)row, w->table[row].sequence};
    memcpy(w->request, header, HEADER);
}

bool connection_ask(struct worker *w, long row, uint64_t since)
{
    struct connection *c = &w->table[row];
    c->got = 0;
    c->sequence++;
    c->since = since;
    c->state = BUSY;
    stamp(w, row);
    ssize_t sent = send(c->fd, w->request, (size_t)w->size, MSG_NOSIGNAL);
    if (sent == w->size)
        return true;
    if (sent < 0)
        return refused(w, row, errno, "send");
    complain(w, "send: only %zd of %ld bytes fitted; use a smaller size", sent, w->size);
    connection_close(w, row);
    return false;
}

static void compare(struct worker *w, long row, long count)
{
    struct connection *c = &w->table[row];
    long surplus = c->state == BUSY ? c->got + count - w->size : count;
    if (surplus > 0) {
        w->result->wrong++;
        complain(w, "connection %ld: %ld bytes more than were asked for", row, surplus);
        return;
    }
    stamp(w, row);
    if (!memcmp(w->buffer, w->request + c->got, (size_t)count))
        return;
    long i = 0;
    while (w->buffer[i] == w->request[c->got + i])
        i++;
    w->result->wrong++;
    complain(w, "connection %ld, answer %llu: byte %ld is 0x%02x instead of 0x%02x", row,
             (unsigned long long)c->sequence, c->got + i, (uint8_t)w->buffer[i],
             (uint8_t)w->request[c->got + i]);
}

/* Reads until there is no more.  A wrong answer ends its connection, so it is counted once. */
static enum outcome receive(struct worker *w, long row)
{
    struct connection *c = &w->table[row];
    ssize_t count;
    do {
        count = recv(c->fd, w->buffer, MAX_SIZE, 0);
        if (count < 0 && errno == EAGAIN)
            return NOTHING;
        if (!count && c->state == CLOSING) {
            connection_close(w, row);
            return ENDED;
        }
        if (count <= 0) {
            refused(w, row, count ? errno : ECONNRESET, "recv");
            return BROKEN;
        }
        long wrong = w->result->wrong;
        compare(w, row, count);
        if (w->result->wrong > wrong) {
            connection_close(w, row);
            return BROKEN;
        }
        c->got += (uint32_t)count;
    } while (count == MAX_SIZE);
    if (c->got < w->size || c->state != BUSY)
        return NOTHING;
    c->state = IDLE;
    return ANSWERED;
}

enum outcome connection_event(struct worker *w, long row, uint32_t events)
{
    struct connection *c = &w->table[row];
    if (c->state == UNUSED)
        return NOTHING; /* closed by an earlier event of the same batch */
    if (c->state != CONNECTING)
        return events & ~(uint32_t)EPOLLOUT ? receive(w, row) : NOTHING;
    int error = 0;
    socklen_t length = sizeof error;
    if (events & (EPOLLERR | EPOLLHUP)) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        refused(w, row, error, "connect");
        return REFUSED;
    }
    c->state = IDLE;
    return CONNECTED;
}

/* Sends a FIN; the other side's is still to come. */
bool connection_end(struct worker *w, long row)
{
    w->table[row].state = CLOSING;
    return !shutdown(w->table[row].fd, SHUT_WR) || refused(w, row, errno, "shutdown");
}

/* By reset, unless both sides have ended already. */
void connection_close(struct worker *w, long row)
{
    struct connection *c = &w->table[row];
    struct linger reset = {.l_onoff = 1};
    if (c->fd >= 0) {
        if (c->state != CLOSING)
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(c->fd);
    }
    *c = (struct connection){.fd = -1};
}
