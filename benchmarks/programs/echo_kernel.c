/* The echo service (RFC 862) over kernel sockets: the least that a program on loopback can do with epoll.
 *
 *     echo_kernel PORT
 *
 * One thread, one epoll, up to 1,024 events at a time.  A read that does not fill the buffer has emptied
 * the socket, so there is one `recv` and one `send` for a request and nothing else.  An answer that the
 * client's window does not take closes the connection: the generator always reads.
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <stdio.h>

enum { EVENTS = 1024, ROOM = 65536 };

static char data[ROOM];

/* `last`: what is left to read ends in 0 bytes or an error. */
static void echo(int fd, int last)
{
    ssize_t length;
    do {
        length = recv(fd, data, sizeof data, 0);
        if (length < 0 && errno == EAGAIN)
            return;
        if (length <= 0 || send(fd, data, (size_t)length, MSG_NOSIGNAL) != length) {
            close(fd);
            return;
        }
    } while (length == sizeof data || last);
}

int main(int count, char **words)
{
    struct epoll_event events[EVENTS];
    int listener = listen_on(count == 2 ? words[1] : "0"), epoll = epoll_create1(0);
    if (listener < 0) {
        perror("echo_kernel: listen");
        return 1;
    }
    watch(epoll, listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                echo(events[i].data.fd, ending(&events[i]));
        }
    }
}
