/* The bare responder: the least that anything can do with requests on a TUN device, so the ceiling of
 * every stack.
 *
 *     echo_responder DEVICE
 *
 * It keeps nothing at all: a packet is turned into its answer where it lies.  A SYN is answered by a
 * SYN-ACK with the same sequence number each time, a segment with data by one segment with the same data
 * that acknowledges it, a FIN by a FIN.  Nothing is agreed on but the segment size and the window's
 * scale, so segments have no options.  What comes in is not checked, nothing is sent again; what goes out
 * has its checksum.
 *
 * The device exists already.
 */
#define _GNU_SOURCE
#include "device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

enum { SEGMENT = 1460, SCALE = 7, FIRST = 0x10000000 };

static struct packet packet;
static uint8_t *const start = (uint8_t *)&packet + offsetof(struct packet, version);

static void answer(int fd, uint32_t seq, uint32_t ack, uint8_t flags, int options, int payload)
{
    uint16_t length = (uint16_t)(20 + options + payload), port = packet.source_port;
    uint32_t address = packet.source;
    packet.source = packet.destination;
    packet.destination = address;
    packet.source_port = packet.destination_port;
    packet.destination_port = port;
    packet.length = htons((uint16_t)(IP_HEADER + length));
    packet.ip_checksum = 0;
    packet.ip_checksum = (uint16_t)~fold(sum(start, IP_HEADER, 0));
    packet.seq = htonl(seq);
    packet.ack = htonl(ack);
    packet.offset = (uint8_t)((20 + options) << 2);
    packet.flags = flags;
    packet.window = 0xffff;
    packet.checksum = 0;
    uint64_t pseudo = (uint64_t)packet.source + packet.destination + htons(6) + htons(length);
    packet.checksum = (uint16_t)~fold(sum(&packet.source_port, length, pseudo));
    if (write(fd, start, (size_t)IP_HEADER + length) < 0 && errno != EAGAIN)
        perror("echo_responder: write");
}

static void take_packet(int fd)
{
    static const uint8_t offer[8] = {2, 4, SEGMENT >> 8, SEGMENT & 255, 1, 3, 3, SCALE};
    int options = (packet.offset >> 4) * 4 - 20, payload = ntohs(packet.length) - HEADERS - options;
    uint32_t seq = ntohl(packet.seq), ack = ntohl(packet.ack);
    if (packet.flags & RST)
        return;
    if (packet.flags & SYN) {
        memcpy(packet.data, offer, sizeof offer);
        answer(fd, FIRST, seq + 1, SYN | ACK, sizeof offer, 0);
    } else if (packet.flags & FIN) {
        answer(fd, ack, seq + (uint32_t)payload + 1, FIN | ACK, 0, 0);
    } else if (payload > 0 && !options) {
        answer(fd, ack, seq + (uint32_t)payload, PSH | ACK, 0, payload);
    }
}

int main(int count, char **words)
{
    int fd = count == 2 ? open_device(words[1], false) : -1;
    struct pollfd readable = {fd, POLLIN, 0};
    if (count != 2) {
        fprintf(stderr, "usage: echo_responder DEVICE\n");
        return 2;
    }
    if (fd < 0) {
        perror("echo_responder: /dev/net/tun");
        return 1;
    }
    for (;;) {
        ssize_t length = read(fd, start, sizeof packet - offsetof(struct packet, version));
        if (length >= HEADERS && packet.version == 0x45 && packet.protocol == 6)
            take_packet(fd);
        else if (length < 0 && errno == EAGAIN)
            poll(&readable, 1, -1);
        else if (length < 0 && errno != EINTR) {
            perror("echo_responder: read");
            return 1;
        }
    }
}
