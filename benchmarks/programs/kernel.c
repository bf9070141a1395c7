/* The other end in C: the discard and generator services on kernel TCP, one stream at a time. */
#define _GNU_SOURCE
#include "bulk.h"

#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const unsigned char *pattern;

static int listen_on(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(fd, (struct sockaddr *)&here, sizeof here) || listen(fd, 16)) {
        perror("kernel");
        exit(1);
    }
    return fd;
}

/* Says how many bytes came, and as a negative number if one of the pieces began wrongly. */
static void discard(int fd)
{
    static unsigned char buffer[BLOCK];
    char answer[32];
    int64_t total = 0;
    bool wrong = false;
    for (ssize_t got; (got = recv(fd, buffer, sizeof buffer, 0)) > 0; total += got)
        wrong |= memcmp(buffer, pattern + total % PERIOD, got < 64 ? (size_t)got : 64) != 0;
    int length = snprintf(answer, sizeof answer, "%lld\n", (long long)(wrong ? -total : total));
    send(fd, answer, (size_t)length, MSG_NOSIGNAL);
}

static void generate(int fd)
{
    uint64_t total = 0;
    for (ssize_t sent; (sent = send(fd, pattern + total % PERIOD, BLOCK, MSG_NOSIGNAL)) > 0;)
        total += (uint64_t)sent;
}

int main(void)
{
    struct pollfd ports[2] = {{listen_on(PORT_DISCARD), POLLIN, 0}, {listen_on(PORT_GENERATE), POLLIN, 0}};
    if (!(pattern = make_pattern()))
        return 1;
    while (poll(ports, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            int fd = ports[i].revents ? accept(ports[i].fd, NULL, NULL) : -1;
            if (fd < 0)
                continue;
            (i ? generate : discard)(fd);
            close(fd);
        }
    return 0;
}
