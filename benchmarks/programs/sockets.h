/* A listener on kernel TCP and its epoll, for the echo servers. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Edge-triggered, so that the kernel need not look at a socket again that was served. */
static inline void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        close(fd);
}

static inline void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        watch(epoll, fd);
}

/* -1: errno says why.  Connections inherit TCP_NODELAY, which spares each of them a call. */
static inline int listen_on(const char *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 65535) ? -1 : listener;
}

/* The client has closed its side, or is gone. */
static inline int ending(const struct epoll_event *event)
{
    return (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
}

#endif
