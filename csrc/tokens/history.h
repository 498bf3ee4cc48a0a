/* history.h: the tokens of one sequence; see history.c. */
#ifndef FL_HISTORY_H
#define FL_HISTORY_H

#include "fastlogits.h"

enum { FL_MAX_STEPS = 64, FL_MAX_ORDER = 8 };

/* How often tokens occur in the last `window` positions (negative: all), from position `from` on. */
typedef struct {
    int64_t window, from;
    int32_t *count; /* by number of the token */
} fl_column;

/* link[i]: the last position before i up to which the last `order` tokens have the hash of those up to i, or -1. */
typedef struct {
    int64_t order;
    int32_t *head, *link;
} fl_grams;

struct fl_history {
    int64_t n, room, prompt_length;
    int64_t *tokens;
    int64_t width;   /* steps * FL_MEMORY, or 0 */
    double *memory;  /* what the steps remember behind each token, [n, width] */
    int32_t *index;  /* number of the token at each position */
    int32_t *before; /* where it occurred last before, or -1 */
    int32_t *above;  /* its newer neighbour in the list before it came here, or -1 */
    int32_t distinct, newest;
    int32_t *id, *last;     /* of a numbered token: its id, its last position or -1 */
    int32_t *older, *newer; /* the list of the tokens that occur, by last position */
    int32_t *table;         /* 2^(32 - shift) = 2 room places: number + 1 by hash of the id */
    uint32_t shift;
    int32_t columns, indexes;
    fl_column column[FL_MAX_STEPS];
    fl_grams grams[FL_MAX_STEPS];
    char *block; /* holds all arrays */
    int32_t users;
};

/* What the steps remember now, or NULL: nothing yet. */
const double *fl_history_remembers(const fl_history *h);
/* Number of a token, -1 if it never occurred. */
int32_t fl_history_find(const fl_history *h, int64_t token);
/* Occurrences of the numbered tokens from position `start` on, or NULL if no column counts them. */
const int32_t *fl_history_counts(const fl_history *h, int64_t start);
/* Links of the grams of that order (longer ones by their last FL_MAX_ORDER tokens), or NULL. */
const int32_t *fl_history_links(const fl_history *h, int64_t order);

#endif
