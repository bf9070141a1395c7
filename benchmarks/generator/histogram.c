/* A log-linear histogram: 64 buckets for every doubling, so a quantile is off by 1/64 at most. */
#include "loadgen.h"

static int bucket_of(uint64_t value)
{
    if (value < BUCKETS_PER_OCTAVE)
        return (int)value;
    int exponent = 63 - __builtin_clzll(value); /* at least 6 */
    return (exponent - 5) * BUCKETS_PER_OCTAVE + (int)((value >> (exponent - 6)) - BUCKETS_PER_OCTAVE);
}

static uint64_t value_of(int bucket)
{
    if (bucket < BUCKETS_PER_OCTAVE)
        return (uint64_t)bucket;
    int exponent = bucket / BUCKETS_PER_OCTAVE + 5;
    return (uint64_t)(BUCKETS_PER_OCTAVE + bucket % BUCKETS_PER_OCTAVE) << (exponent - 6);
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->bucket[bucket_of(value)]++;
    if (!h->count || value < h->least)
        h->least = value;
    if (value > h->most)
        h->most = value;
    h->count++;
    h->sum += value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (!from->count)
        return;
    for (int i = 0; i < BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    if (!into->count || from->least < into->least)
        into->least = from->least;
    if (from->most > into->most)
        into->most = from->most;
    into->count += from->count;
    into->sum += from->sum;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    uint64_t seen = 0, wanted = (uint64_t)(quantile * (double)h->count);
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > wanted)
            return value_of(i);
    }
    return h->most;
}
