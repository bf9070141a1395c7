/* How connections end: some of them, or all, by reset or in order. */
#include "loadgen.h"

/* Takes in what happened to the idle connections since, so that a loss is not overlooked. */
static void look_for_losses(struct worker *w)
{
    struct epoll_event events[EVENTS];
    for (int count; (count = wait_until(w, events, 0)) > 0;)
        for (int i = 0; i < count; i++)
            if (connection_event(w, events[i].data.u32, events[i].events) == BROKEN)
                w->result->broken++;
}

/* A FIN each, at most `window` of them unanswered at a time; whoever has sent its own is closed, and
 * leaves its port in TIME-WAIT.  By reset, what has not at the end. */
static void end_rows(struct worker *w, const struct step *s, long first)
{
    struct epoll_event events[EVENTS];
    long pending = 0, next = w->used, window = s->parts[w->number].window;
    uint64_t limit = monotonic() + (uint64_t)(s->seconds * 1e9);
    while ((next > first || pending) && monotonic() < limit) {
        while (next > first && pending < window) {
            if (w->table[--next].state == UNUSED)
                continue;
            if (connection_end(w, next))
                pending++;
            else
                w->result->broken++;
        }
        int count = pending ? wait_until(w, events, limit) : 0;
        for (int i = 0; i < count; i++) {
            long row = events[i].data.u32;
            bool closing = w->table[row].state == CLOSING;
            enum outcome outcome = connection_event(w, row, events[i].events);
            w->result->broken += outcome == BROKEN;
            pending -= closing && (outcome == BROKEN || outcome == ENDED);
        }
    }
    if (next > first || pending)
        complain(w, "time is up: %ld connections not closed, %ld without the other side's FIN", next - first,
                 pending);
    w->result->unanswered = next - first + pending;
}

static void close_down_to(struct worker *w, const struct step *s, long first)
{
    if (first > w->used)
        return;
    if (s->orderly)
        end_rows(w, s, first);
    for (long row = first; row < w->used; row++) {
        if (w->table[row].state == CLOSING)
            w->table[row].state = IDLE;
        connection_close(w, row);
    }
    w->used = first;
}

void step_drop(struct worker *w, const struct step *s)
{
    close_down_to(w, s, s->parts[w->number].target);
}

void step_close(struct worker *w, const struct step *s)
{
    look_for_losses(w);
    close_down_to(w, s, 0);
}
