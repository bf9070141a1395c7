/* What the three programs of the bulk benchmark agree on.
 *
 * Port 9 is the discard service (RFC 863), client to server: everything is taken; when the client has
 * ended its half, a server answers with the number of bytes and a newline, and closes.  (The bare
 * responder says no number.)  Port 19 is the generator service (RFC 864), server to client: bytes come
 * until the client hangs up.
 *
 * The byte at position n of either stream is n % 251: any piece can be checked wherever it was cut.
 */
#ifndef BULK_H
#define BULK_H

#include <stdlib.h>

enum {
    PORT_DISCARD = 9,
    PORT_GENERATE = 19,
    PERIOD = 251,
    BLOCK = PERIOD * 1024, /* what one call of send or recv is given room for */
};

/* Two blocks of the stream, so that a block can be taken from it at any phase. */
static inline unsigned char *make_pattern(void)
{
    unsigned char *pattern = malloc(2 * BLOCK);
    for (int i = 0; pattern && i < 2 * BLOCK; i++)
        pattern[i] = (unsigned char)(i % PERIOD);
    return pattern;
}

#endif
