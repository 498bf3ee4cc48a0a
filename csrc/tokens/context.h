/* context.h: the tokens before the one to come. */
#ifndef FL_CONTEXT_H
#define FL_CONTEXT_H

#include "tokens/history.h"

/* The tokens before the one to come. */
typedef struct {
    const int64_t *ids;
    int64_t n, prompt_length;
    const fl_history *history; /* that holds them, or NULL */
} fl_context;

/* Whether the context ends with these tokens. */
int fl_context_ends(const fl_context *c, const int64_t *ids, int64_t n);

#endif
