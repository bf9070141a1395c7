/* The echo service (RFC 862) over kernel sockets with io_uring: no system call for a single request.
 *
 *     echo_uring PORT
 *
 * One thread.  epoll says which sockets have something; all of them are read by one call, and all answers
 * sent by another; those whose read filled its buffer come again.  An answer that the client's window does
 * not take closes the connection: the generator always reads.
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>

/* An odd number of cache lines, so that rows do not share their sets. */
enum { EVENTS = 256, ROOM = 257 * 64 };

static struct io_uring ring;
static char data[EVENTS][ROOM];
static int sockets[EVENTS], lengths[EVENTS], results[EVENTS];

/* Carries out what is queued, `count` requests; the user data of each is its row. */
static void carry_out(int count)
{
    while (count > 0) {
        struct io_uring_cqe *done;
        unsigned head, seen = 0;
        io_uring_submit_and_wait(&ring, (unsigned)count);
        io_uring_for_each_cqe(&ring, head, done) {
            results[done->user_data] = done->res;
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
        count -= (int)seen;
    }
}

static void queue_read(int row)
{
    struct io_uring_sqe *request = io_uring_get_sqe(&ring);
    io_uring_prep_recv(request, sockets[row], data[row], ROOM, MSG_DONTWAIT);
    request->user_data = (uint64_t)row;
}

static void queue_answer(int row)
{
    struct io_uring_sqe *request = io_uring_get_sqe(&ring);
    io_uring_prep_send(request, sockets[row], data[row], (size_t)results[row], MSG_DONTWAIT | MSG_NOSIGNAL);
    request->user_data = (uint64_t)row;
}

static int answer_all(int rows)
{
    int answers = 0;
    for (int row = 0; row < rows; row++) {
        lengths[row] = results[row];
        if (lengths[row] > 0) {
            queue_answer(row);
            answers++;
        }
    }
    return answers;
}

/* Closes those that have ended; how many are to be read again. */
static int keep_full(int rows)
{
    int kept = 0;
    for (int row = 0; row < rows; row++) {
        if (lengths[row] == -EAGAIN)
            continue;
        if (lengths[row] <= 0 || results[row] != lengths[row])
            close(sockets[row]);
        else if (lengths[row] == ROOM)
            sockets[kept++] = sockets[row];
    }
    return kept;
}

static void echo(int rows)
{
    for (; rows; rows = keep_full(rows)) {
        for (int row = 0; row < rows; row++)
            queue_read(row);
        carry_out(rows);
        carry_out(answer_all(rows));
    }
}

int main(int count, char **words)
{
    struct epoll_event events[EVENTS];
    struct io_uring_params how = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int listener = listen_on(count == 2 ? words[1] : "0"), epoll = epoll_create1(0);
    if (listener < 0) {
        perror("echo_uring: listen");
        return 1;
    }
    if ((errno = -io_uring_queue_init_params(EVENTS, &ring, &how))) {
        perror("echo_uring: io_uring");
        return 1;
    }
    io_uring_register_ring_fd(&ring);
    watch(epoll, listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1), rows = 0;
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else if (ending(&events[i]))
                close(events[i].data.fd);
            else
                sockets[rows++] = events[i].data.fd;
        }
        echo(rows);
    }
}
