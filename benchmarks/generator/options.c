/* The words of the command line and of a step: `name=value`, checked one by one. */
#include "loadgen.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char error[NOTE], const char *what, const char *word, const char *allowed)
{
    snprintf(error, NOTE, "%s: %.60s is not allowed; give %s", what, word, allowed);
    return false;
}

static bool number(const char *text, double low, double high, double *value)
{
    char *rest;
    *value = strtod(text, &rest);
    return rest != text && !*rest && *value >= low && *value <= high;
}

/* `A[-B]:P[-Q]`: the addresses A to B, and on each the ports P to Q. */
static bool parse_target(const char *value, struct options *o)
{
    char text[64];
    if (snprintf(text, sizeof text, "%s", value) >= (int)sizeof text)
        return false;
    char *ports = strchr(text, ':'), *last_address = strchr(text, '-');
    if (!ports)
        return false;
    *ports++ = 0;
    if (last_address && last_address < ports)
        *last_address++ = 0;
    else
        last_address = text;
    char *last_port = strchr(ports, '-');
    if (last_port)
        *last_port++ = 0;
    else
        last_port = ports;
    struct in_addr from, to;
    double first, last;
    if (!inet_aton(text, &from) || !inet_aton(last_address, &to) || !number(ports, 1, 65535, &first) ||
        !number(last_port, first, 65535, &last) || ntohl(to.s_addr) < ntohl(from.s_addr))
        return false;
    o->address = ntohl(from.s_addr);
    o->addresses = ntohl(to.s_addr) - o->address + 1;
    o->port = (uint16_t)first;
    o->ports = (uint16_t)(last - first + 1);
    return true;
}

static bool parse_option(const char *name, const char *value, struct options *o, char error[NOTE])
{
    int capacity = 0;
    struct {
        const char *name;
        int *to;
        double low, high;
        const char *allowed;
    } numbers[] = {
        {"workers", &o->workers, 1, MAX_WORKERS, "a number from 1 to 256"},
        {"capacity", &capacity, 0, 1 << 20, "connections of a worker, at most 1048576, or 0"},
        {"watch", &o->watch, 0, 1 << 30, "a process id, or 0"},
        {"core", &o->core, -1, CPU_SETSIZE - 1, "the number of a processor, or -1"},
    };
    double n;
    if (!strcmp(name, "target"))
        return parse_target(value, o) || refuse(error, name, value, "ADDRESS[-ADDRESS]:PORT[-PORT], IPv4");
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name)) {
            if (!number(value, numbers[i].low, numbers[i].high, &n))
                return refuse(error, name, value, numbers[i].allowed);
            *numbers[i].to = (int)n;
            if (capacity)
                o->capacity = capacity;
            return true;
        }
    return refuse(error, "option", name, "target=, workers=, capacity=, watch= or core=");
}

bool parse_options(int count, char **words, struct options *o, char error[NOTE])
{
    *o = (struct options){.workers = 1, .core = -1};
    for (int i = 0; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value)
            return refuse(error, "option", words[i], "name=value");
        *value++ = 0;
        if (!parse_option(words[i], value, o, error))
            return false;
    }
    return o->addresses || refuse(error, "target", "(nothing)", "ADDRESS[-ADDRESS]:PORT[-PORT], IPv4");
}

static bool parse_choice(const char *name, const char *value, struct step *s, char error[NOTE])
{
    struct {
        const char *name;
        bool *to;
        const char *no, *yes, *allowed;
    } choices[] = {
        {"pick", &s->random, "sticky", "random", "sticky or random"},
        {"ask", &s->silent, "yes", "no", "yes or no"},
        {"how", &s->orderly, "reset", "fin", "reset or fin"},
    };
    for (unsigned i = 0; i < sizeof choices / sizeof *choices; i++)
        if (!strcmp(name, choices[i].name)) {
            *choices[i].to = !strcmp(value, choices[i].yes);
            return *choices[i].to || !strcmp(value, choices[i].no) ||
                   refuse(error, name, value, choices[i].allowed);
        }
    return refuse(error, "setting", name,
                  "total, window, inflight, size, seconds, warmup, rate, workers, pick, ask or how");
}

static bool parse_setting(const char *name, const char *value, struct step *s, char error[NOTE])
{
    struct {
        const char *name;
        long *to;
        double low, high;
    } counts[] = {
        {"total", &s->total, 0, 1e8},
        {"window", &s->window, 1, 1e6},
        {"inflight", &s->inflight, 1, 1e6},
        {"size", &s->size, HEADER, MAX_SIZE},
        {"workers", &s->active, 0, MAX_WORKERS},
    };
    struct {
        const char *name;
        double *to;
    } amounts[] = {{"seconds", &s->seconds}, {"warmup", &s->warmup}, {"rate", &s->rate}};
    char allowed[64];
    double n;
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(name, counts[i].name)) {
            snprintf(allowed, sizeof allowed, "a number from %.0f to %.0f", counts[i].low, counts[i].high);
            if (!number(value, counts[i].low, counts[i].high, &n))
                return refuse(error, name, value, allowed);
            *counts[i].to = (long)n;
            return true;
        }
    for (unsigned i = 0; i < sizeof amounts / sizeof *amounts; i++)
        if (!strcmp(name, amounts[i].name))
            return number(value, 0, 1e9, amounts[i].to) || refuse(error, name, value, "a number from 0");
    return parse_choice(name, value, s, error);
}

bool parse_step(char *line, struct step *s, char error[NOTE])
{
    static const char *const verbs[] = {
        [OPEN] = "open", [ECHO] = "echo", [CHURN] = "churn", [DROP] = "drop", [CLOSE] = "close"};
    *s = (struct step){.window = 256, .inflight = 100, .size = 1024, .seconds = -1, .warmup = 0.2};
    char *rest, *word = strtok_r(line, " \t\r\n", &rest);
    int verb = OPEN;
    while (verb <= CLOSE && strcmp(word ? word : "", verbs[verb]))
        verb++;
    if (verb > CLOSE)
        return refuse(error, "step", word ? word : "(nothing)", "open, echo, churn, drop or close");
    s->verb = (enum verb)verb;
    while ((word = strtok_r(NULL, " \t\r\n", &rest))) {
        char *value = strchr(word, '=');
        if (!value)
            return refuse(error, "setting", word, "name=value");
        *value++ = 0;
        if (!parse_setting(word, value, s, error))
            return false;
    }
    if (s->seconds < 0)
        s->seconds = s->verb == ECHO || s->verb == CHURN ? 1 : 60;
    if (s->rate > 0)
        s->random = true;
    return true;
}
