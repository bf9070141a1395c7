/* The lines of JSON. */
#include "loadgen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_text(const char *name, const char *text)
{
    printf("\"%s\": \"", name);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text >= ' ')
            putchar(*text);
    printf("\"");
}

void report_error(const char *error)
{
    printf("{");
    print_text("error", error);
    printf("}\n");
    fflush(stdout);
}

static void print_histogram(const char *name, const struct histogram *h)
{
    printf(", \"%s\": {\"count\": %" PRIu64, name, h->count);
    if (h->count)
        printf(", \"mean\": %.1f, \"min\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
               "\"max\": %.1f",
               (double)h->sum / (double)h->count / 1e3, (double)h->least / 1e3,
               (double)histogram_quantile(h, .5) / 1e3, (double)histogram_quantile(h, .9) / 1e3,
               (double)histogram_quantile(h, .99) / 1e3, (double)histogram_quantile(h, .999) / 1e3,
               (double)h->most / 1e3);
    printf("}");
}

static void add(struct result *sum, const struct result *part)
{
    sum->open += part->open;
    sum->failed += part->failed;
    sum->messages += part->messages;
    sum->wrong += part->wrong;
    sum->broken += part->broken;
    sum->unanswered += part->unanswered;
    sum->skipped += part->skipped;
    sum->cpu += part->cpu;
    sum->user_cpu += part->user_cpu;
    if (part->duration > sum->duration)
        sum->duration = part->duration;
    if (!sum->note[0])
        memcpy(sum->note, part->note, NOTE);
    histogram_merge(&sum->connect, &part->connect);
    histogram_merge(&sum->answer, &part->answer);
}

void report(const struct step *s, const struct result *results, int workers, const struct usage *before,
            const struct usage *after)
{
    static const char *const names[] = {
        [OPEN] = "open", [ECHO] = "echo", [CHURN] = "churn", [DROP] = "drop", [CLOSE] = "close"};
    static struct result sum; /* too large for the stack */
    bool timed = s->verb == ECHO || s->verb == CHURN;
    memset(&sum, 0, sizeof sum);
    for (int i = 0; i < workers; i++)
        add(&sum, &results[i]);
    double measured = timed ? seconds_between(before->at, after->at) : (double)sum.duration / 1e9;
    printf("{\"step\": \"%s\", \"open\": %ld, \"failed\": %ld, \"wrong\": %ld, \"broken\": %ld, "
           "\"unanswered\": %ld, \"seconds\": %.6f, ",
           names[s->verb], sum.open, sum.failed, sum.wrong, sum.broken, sum.unanswered, measured);
    print_text("note", sum.note);
    print_histogram("connect_us", &sum.connect);
    print_histogram("answer_us", &sum.answer);
    if (timed) {
        uint64_t server_user = after->server_user - before->server_user;
        printf(", \"size\": %ld, \"inflight\": %ld, \"pick\": \"%s\", \"rate\": %.1f, \"messages\": %ld, "
               "\"per_second\": %.1f, \"skipped\": %ld, \"server_cpu_seconds\": %.6f, "
               "\"client_cpu_seconds\": %.6f, \"other_user_seconds\": %.6f",
               s->size, s->inflight, s->random ? "random" : "sticky", s->rate, sum.messages,
               (double)sum.messages / measured, sum.skipped, seconds_between(before->server, after->server),
               (double)sum.cpu / 1e9, seconds_between(server_user + sum.user_cpu, after->all_user - before->all_user));
    }
    printf("}\n");
    fflush(stdout);
}
