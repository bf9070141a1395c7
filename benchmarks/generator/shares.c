/* Who does what of a step: the same for each worker, or one worker after the other to its capacity. */
#include "loadgen.h"

long share_of(long total, long number, long workers)
{
    return total * (number + 1) / workers - total * number / workers;
}

static long least(long a, long b)
{
    return a < b ? a : b;
}

/* How many rows worker `number` has when `total` are open. */
static long filled(const struct options *o, long total, long number)
{
    if (!o->capacity)
        return share_of(total, number, o->workers);
    long rest = total - o->capacity * number;
    return rest < 0 ? 0 : least(rest, o->capacity);
}

void share_out(struct step *s, const struct options *o, const struct result *results)
{
    long used = 0, before = 0, busy = 0;
    for (int i = 0; i < o->workers; i++)
        used += results[i].used;
    for (int i = 0; i < o->workers; i++) {
        long rows = results[i].used, dropped = 0;
        if (s->verb == DROP && used) {
            long total = least(s->total, used);
            dropped = total * (before + rows) / used - total * before / used;
        }
        s->parts[i].target = s->verb == OPEN ? filled(o, s->total, i) : s->verb == DROP ? rows - dropped : 0;
        busy += s->parts[i].target != rows;
        before += rows;
    }
    for (int i = 0, nth = 0; i < o->workers; i++)
        if (s->parts[i].target != results[i].used) {
            long window = share_of(s->window, nth++, busy);
            s->parts[i].window = window ? window : 1;
        }
}
