/* context.c: the tokens before the one to come. */
#include "tokens/context.h"

int fl_context_ends(const fl_context *c, const int64_t *ids, int64_t n) {
    if (n > c->n) return 0;
    for (int64_t i = 0; i < n; i++)
        if (c->ids[c->n - n + i] != ids[i]) return 0;
    return 1;
}
