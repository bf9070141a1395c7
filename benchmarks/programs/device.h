/* A TUN device and its packets, for the programs that answer on one. */
#ifndef DEVICE_H
#define DEVICE_H

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* IPv4 without options; `data` begins with TCP's. */
struct __attribute__((packed)) packet {
    struct virtio_net_hdr virtio;
    uint8_t version, tos;
    uint16_t length, id, fragment;
    uint8_t ttl, protocol;
    uint16_t ip_checksum;
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    uint32_t seq, ack;
    uint8_t offset, flags;
    uint16_t window, checksum, urgent;
    uint8_t data[65536];
};

enum { IP_HEADER = 20, HEADERS = 40 };

struct device {
    int fd;
    bool header;
};

/* RFC 1071, in the order of the machine: swapped sums stay sums. */
static inline uint64_t sum(const void *data, int length, uint64_t total)
{
    const uint8_t *p = data;
    uint32_t word = 0;
    for (; length >= 4; p += 4, length -= 4) {
        memcpy(&word, p, 4);
        total += word;
    }
    word = 0;
    memcpy(&word, p, (size_t)length);
    return total + word;
}

static inline uint16_t fold(uint64_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}

/* The device exists already.  -1: errno says why. */
static inline int open_device(const char *name, bool header)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (header ? IFF_VNET_HDR : 0))};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) ||
        (header && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)))
        return -1;
    return fd;
}

#endif
