/* The bare responder: the least that anything can do on a TUN device, so the ceiling of every stack.
 *
 *     responder DEVICE plain|header
 *
 * It answers a handshake, acknowledges every second segment of what comes to port 9, and to port 19
 * sends as much as the client's window takes.  What comes in is neither checked nor looked at nor kept,
 * what goes out lies ready in one block and is never copied; there is no congestion control, and one
 * timer (nothing acknowledged for RESEND_NS: all again).  What goes out has its checksum.  With the
 * virtio header, the kernel completes checksums and cuts segments, and packets come and go in
 * super-segments of up to 64 KB.
 *
 * One stream at a time; the device exists already.
 */
#define _GNU_SOURCE
#include "bulk.h"
#include "device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    SEGMENT = 1460,               /* payload: an MTU of 1500, no options */
    SUPER_SEGMENT = SEGMENT * 44, /* with the header: the most that an IPv4 packet holds */
    BURST = 16,                   /* packets sent before looking for acknowledgements again */
};

static const uint64_t RESEND_NS = 200000000;

/* Whom we are talking to, in network order as it came, and how far the two streams are. */
struct stream {
    uint32_t us, them;
    uint16_t our_port, their_port;
    bool open;
    unsigned shift;
    uint32_t rcv_nxt, unacknowledged; /* bytes since the last acknowledgement */
    uint32_t snd_una, snd_nxt, snd_wnd;
    uint64_t acknowledged;            /* what snd_una has advanced by, the SYN included */
    uint64_t progress;                /* when snd_una moved last */
};

static struct packet in, out;
static unsigned char *pattern;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_checksum(const struct device *d, int options, const struct iovec *payload)
{
    int header = 20 + options;
    uint16_t length = (uint16_t)(header + (int)payload->iov_len);
    uint64_t total = (uint64_t)out.source + out.destination + htons(6) + htons(length);
    out.checksum = 0;
    if (!d->header) {
        total = sum(&out.source_port, header, total);
        out.checksum = (uint16_t)~fold(sum(payload->iov_base, (int)payload->iov_len, total));
        return;
    }
    out.virtio = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = IP_HEADER, .csum_offset = 16};
    out.checksum = fold(total);
    if (payload->iov_len > SEGMENT) {
        out.virtio.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        out.virtio.gso_size = SEGMENT;
        out.virtio.hdr_len = (uint16_t)(HEADERS + options);
    }
}

/* `options` bytes of options lie in `out.data` already; `payload` bytes of the stream follow. */
static void send_segment(const struct device *d, const struct stream *s, uint8_t flags, int options, int payload)
{
    static uint16_t id;
    void *start = d->header ? (void *)&out : (void *)&out.version;
    size_t headers = (size_t)(HEADERS + options) + (d->header ? sizeof out.virtio : 0);
    uint64_t position = s->acknowledged + (s->snd_nxt - s->snd_una) - 1;
    struct iovec parts[2] = {{start, headers}, {pattern + (payload ? position % PERIOD : 0), (size_t)payload}};
    out.version = 0x45;
    out.length = htons((uint16_t)(HEADERS + options + payload));
    out.id = htons(id++);
    out.fragment = htons(0x4000);
    out.ttl = 64;
    out.protocol = 6;
    out.source = s->us;
    out.destination = s->them;
    out.ip_checksum = 0;
    out.ip_checksum = (uint16_t)~fold(sum(&out.version, IP_HEADER, 0));
    out.source_port = s->our_port;
    out.destination_port = s->their_port;
    out.seq = htonl(s->snd_nxt);
    out.ack = htonl(s->rcv_nxt);
    out.offset = (uint8_t)((20 + options) << 2);
    out.flags = flags;
    out.window = 0xffff;
    write_checksum(d, options, &parts[1]);
    if (writev(d->fd, parts, payload ? 2 : 1) < 0 && errno != EAGAIN)
        perror("responder: write");
}

static unsigned window_shift(int options)
{
    for (int i = 0; i + 2 < options && in.data[i];) {
        if (in.data[i] == 3)
            return in.data[i + 2];
        i += in.data[i] == 1 ? 1 : in.data[i + 1] ? in.data[i + 1] : options;
    }
    return 0;
}

static void take_syn(const struct device *d, struct stream *s, int options)
{
    static const uint8_t offer[8] = {2, 4, SEGMENT >> 8, SEGMENT & 255, 1, 3, 3, 7}; /* MSS; shift 7 */
    *s = (struct stream){
        .us = in.destination, .them = in.source, .our_port = in.destination_port, .their_port = in.source_port,
        .open = true, .shift = window_shift(options), .rcv_nxt = ntohl(in.seq) + 1, .progress = now()};
    memcpy(out.data, offer, sizeof offer);
    send_segment(d, s, SYN | ACK, sizeof offer, 0);
    s->snd_nxt++;
}

/* Sends at most `count` packets of the generator's stream; how many. */
static int generate(const struct device *d, struct stream *s, int count)
{
    int sent = 0, most = d->header ? SUPER_SEGMENT : SEGMENT;
    while (s->open && s->our_port == htons(PORT_GENERATE) && sent < count) {
        uint32_t flight = s->snd_nxt - s->snd_una;
        int payload = s->snd_wnd > flight + (uint32_t)most ? most : (int)(s->snd_wnd - flight) / SEGMENT * SEGMENT;
        if (s->snd_wnd < flight || payload <= 0)
            break;
        send_segment(d, s, ACK, 0, payload);
        s->snd_nxt += (uint32_t)payload;
        sent++;
    }
    return sent;
}

static void take_text(const struct device *d, struct stream *s, uint32_t seq, int payload)
{
    s->rcv_nxt = seq + (uint32_t)payload;
    s->unacknowledged += (uint32_t)payload;
    if (s->unacknowledged < 2 * SEGMENT)
        return;
    s->unacknowledged = 0;
    send_segment(d, s, ACK, 0, 0);
}

static void take_acknowledgement(struct stream *s)
{
    uint32_t more = ntohl(in.ack) - s->snd_una;
    if ((int32_t)more > 0) {
        s->snd_una += more;
        s->acknowledged += more;
        s->progress = now();
    }
    if ((int32_t)(s->snd_nxt - s->snd_una) < 0)
        s->snd_nxt = s->snd_una;
    s->snd_wnd = (uint32_t)ntohs(in.window) << s->shift;
}

static void take_packet(const struct device *d, struct stream *s)
{
    int options = (in.offset >> 4) * 4 - 20;
    int payload = ntohs(in.length) - HEADERS - options;
    if (in.flags & SYN) {
        take_syn(d, s, options);
        return;
    }
    if (!s->open || in.source_port != s->their_port || in.destination_port != s->our_port)
        return;
    if (in.flags & RST) {
        s->open = false;
        return;
    }
    take_acknowledgement(s);
    if (payload > 0)
        take_text(d, s, ntohl(in.seq), payload);
    if (in.flags & FIN) {
        s->rcv_nxt = ntohl(in.seq) + (uint32_t)payload + 1;
        send_segment(d, s, FIN | ACK, 0, 0);
        s->snd_nxt++;
    }
    generate(d, s, BURST / 2);
}

static bool is_ours(ssize_t length)
{
    return length >= HEADERS && in.version == 0x45 && in.protocol == 6;
}

/* Nothing came: send on, or wait for something. */
static void idle(const struct device *d, struct stream *s)
{
    struct pollfd readable = {d->fd, POLLIN, 0};
    if (generate(d, s, BURST))
        return;
    if (s->open && s->snd_nxt != s->snd_una && now() - s->progress > RESEND_NS) {
        s->snd_nxt = s->snd_una;
        s->progress = now();
        return;
    }
    poll(&readable, 1, s->open ? 50 : -1);
}

int main(int count, char **words)
{
    struct stream stream = {0};
    struct device device = {.header = count == 3 && !strcmp(words[2], "header")};
    if (count != 3 || (!device.header && strcmp(words[2], "plain"))) {
        fprintf(stderr, "usage: responder DEVICE plain|header\n");
        return 2;
    }
    if (!(pattern = make_pattern()) || (device.fd = open_device(words[1], device.header)) < 0) {
        perror("responder: /dev/net/tun");
        return 1;
    }
    size_t skipped = device.header ? 0 : offsetof(struct packet, version);
    size_t before = device.header ? sizeof in.virtio : 0;
    for (;;) {
        ssize_t length = read(device.fd, (uint8_t *)&in + skipped, sizeof in - skipped);
        if (length < 0 && errno != EAGAIN && errno != EINTR) {
            perror("responder: read");
            return 1;
        }
        if (length < 0)
            idle(&device, &stream);
        else if (is_ours(length - (ssize_t)before))
            take_packet(&device, &stream);
    }
}
