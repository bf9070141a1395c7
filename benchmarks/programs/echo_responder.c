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
 * As XTCP does, it reads what has come, up to a burst, and then writes all answers by one system call where
 * there is io_uring (else each by its own), so that both have the same ways into the kernel.
 *
 * The device exists already.
 */
#define _GNU_SOURCE
#include "device.h"
#include "ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

enum { SEGMENT = 1460, SCALE = 7, FIRST = 0x10000000 };

/* Room for one packet: requests of the comparison are no longer than the device's packets. */
struct slot {
    struct packet *packet;
    size_t length; /* of the answer; 0: there is none */
};

static uint8_t memory[BURST][2176];
static struct slot slots[BURST];

static uint8_t *start(struct packet *p)
{
    return (uint8_t *)p + offsetof(struct packet, version);
}

static size_t answer(struct packet *p, uint32_t seq, uint32_t ack, uint8_t flags, int options, int payload)
{
    uint16_t length = (uint16_t)(20 + options + payload), port = p->source_port;
    uint32_t address = p->source;
    p->source = p->destination;
    p->destination = address;
    p->source_port = p->destination_port;
    p->destination_port = port;
    p->length = htons((uint16_t)(IP_HEADER + length));
    p->ip_checksum = 0;
    p->ip_checksum = (uint16_t)~fold(sum(start(p), IP_HEADER, 0));
    p->seq = htonl(seq);
    p->ack = htonl(ack);
    p->offset = (uint8_t)((20 + options) << 2);
    p->flags = flags;
    p->window = 0xffff;
    p->checksum = 0;
    uint64_t pseudo = (uint64_t)p->source + p->destination + htons(6) + htons(length);
    p->checksum = (uint16_t)~fold(sum(&p->source_port, length, pseudo));
    return (size_t)IP_HEADER + length;
}

/* The length of the answer that has taken the packet's place, or 0. */
static size_t take_packet(struct packet *p)
{
    static const uint8_t offer[8] = {2, 4, SEGMENT >> 8, SEGMENT & 255, 1, 3, 3, SCALE};
    int options = (p->offset >> 4) * 4 - 20, payload = ntohs(p->length) - HEADERS - options;
    uint32_t seq = ntohl(p->seq), ack = ntohl(p->ack);
    if (p->version != 0x45 || p->protocol != 6 || p->flags & RST)
        return 0;
    if (p->flags & SYN) {
        memcpy(p->data, offer, sizeof offer);
        return answer(p, FIRST, seq + 1, SYN | ACK, sizeof offer, 0);
    }
    if (p->flags & FIN)
        return answer(p, ack, seq + (uint32_t)payload + 1, FIN | ACK, 0, 0);
    if (payload > 0 && !options)
        return answer(p, ack, seq + (uint32_t)payload, PSH | ACK, 0, payload);
    return 0;
}

/* Packets that came, at most a burst; -1: the device is gone. */
static int read_burst(int fd)
{
    int count = 0;
    while (count < BURST) {
        struct packet *p = slots[count].packet;
        ssize_t length = read(fd, start(p), sizeof *memory - offsetof(struct packet, version));
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return count || errno == EAGAIN ? count : -1;
        slots[count].length = length >= HEADERS ? take_packet(p) : 0;
        count++;
    }
    return count;
}

static void write_burst(int fd, struct ring *ring, int count)
{
    unsigned put = 0;
    for (int i = 0; i < count; i++) {
        if (!slots[i].length)
            continue;
        if (ring)
            ring_put(ring, put++, start(slots[i].packet), slots[i].length);
        else if (write(fd, start(slots[i].packet), slots[i].length) < 0 && errno != EAGAIN)
            perror("echo_responder: write");
    }
    if (put && !ring_write(ring, put))
        perror("echo_responder: io_uring_enter");
}

int main(int count, char **words)
{
    static struct ring ring;
    int fd = count == 2 ? open_device(words[1], false) : -1, got;
    struct pollfd readable = {fd, POLLIN, 0};
    if (count != 2) {
        fprintf(stderr, "usage: echo_responder DEVICE\n");
        return 2;
    }
    if (fd < 0) {
        perror("echo_responder: /dev/net/tun");
        return 1;
    }
    for (int i = 0; i < BURST; i++)
        slots[i].packet = (struct packet *)memory[i];
    bool at_once = ring_open(&ring, fd);
    while ((got = read_burst(fd)) >= 0) {
        write_burst(fd, at_once ? &ring : NULL, got);
        if (!got)
            poll(&readable, 1, -1);
    }
    perror("echo_responder: read");
    return 1;
}
