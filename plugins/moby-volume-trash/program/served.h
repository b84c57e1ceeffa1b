/* A part's side of moby's served parts (docs/served-parts.md): framing, greeting, and calls, whatever the contract. */
#pragma once

#include <jansson.h>

struct contract {
    const char *kind;
    int version;
    /* Returns the value of a call, a new reference; NULL after `fail`. */
    json_t *(*call)(const char *method, json_t *with);
    /* Returns the value of an attribute, a new reference; NULL where there is none of that name. */
    json_t *(*get)(const char *attribute);
};

/* Notes why a call fails, in the words of a class of moby.errors; returns NULL. Each thread has an error of its own. */
json_t *fail(const char *class, const char *hint, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for what errno says. */
json_t *fail_by_errno(const char *what);

/* Answers calls at descriptor 3 until SIGTERM, and ends with 0 once those under way are answered. */
_Noreturn void serve(const struct contract *contract);
