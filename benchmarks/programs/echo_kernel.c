/* The echo service (RFC 862) over kernel sockets: the least that a program on loopback can do.
 *
 *     echo_kernel PORT
 *
 * One thread, one epoll, up to 1,024 events at a time.  Edge-triggered, so the kernel need not look at a
 * socket again that was served; a read that does not fill the buffer has emptied the socket, so there is
 * one `recv` and one `send` for a request and nothing else.  TCP_NODELAY is inherited from the listener.
 * An answer that the client's window does not take closes the connection: the generator always reads.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, ROOM = 65536 };

static char data[ROOM];

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        close(fd);
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        watch(epoll, fd);
}

/* `ending`: the client has closed its side, so that what is left to read ends in 0 bytes or an error. */
static void echo(int fd, int ending)
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
    } while (length == sizeof data || ending);
}

int main(int count, char **words)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(count == 2 ? atoi(words[1]) : 0))};
    struct epoll_event events[EVENTS];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 65535)) {
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
                echo(events[i].data.fd, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
        }
    }
}
