/* edit_list.h: the edited tokens, beside the row. */
#ifndef FL_EDIT_LIST_H
#define FL_EDIT_LIST_H

#include "base/scratch.h"
#include "kernels/kernels.h"
#include "tokens/context.h"
#include "tokens/step_values.h"

typedef struct { /* the edited tokens and what the steps so far made of them */
    const fl_kernels *k;
    double *logit;
    int32_t *id, *count; /* count: occurrences in the window counted last */
    int32_t *last;       /* last position in the context, as far as penalties read it, or -1 */
    int32_t *number;     /* in the history, or -1 */
    int64_t n;
    uint64_t *table; /* open addressing, 2^(32 - shift) places */
    uint32_t shift;
    int32_t *slots; /* entry of each context position, -1 = none */
    fl_context context;
    int64_t counted_from; /* first position of the window counted last */
} fl_edits;

/* Room for `most` entries and an empty table at most half full. FL_OK or FL_NO_MEMORY. */
int fl_edits_room(fl_scratch *s, fl_edits *e, int64_t most);
/* Occurrences of every entry in the context from `start` on. */
void fl_edits_count(fl_edits *e, int64_t start);
/* First context position that the step reads. */
int64_t fl_window_start(const fl_edits *e, const fl_step_values *v);
/* count[i] = whether entry i occurs from `start` on. */
void fl_edits_mark(fl_edits *e, int64_t start);
/* Entry of a token, -1 if it is not edited. */
int64_t fl_edits_find(const fl_edits *e, int64_t id);

/* A place of the table holds id in its upper half and entry + 1 in its lower one; 0 is free. */
static inline uint32_t fl_edits_place(const fl_edits *e, int64_t id) { return (uint32_t)id * 2654435769u >> e->shift; }

/* Entry of id, made when missing. */
static inline int32_t fl_edits_insert(fl_edits *e, int64_t id) {
    uint32_t at = fl_edits_place(e, id);
    for (; e->table[at]; at = (at + 1) & (0xffffffffu >> e->shift))
        if ((int64_t)(e->table[at] >> 32) == id) return (int32_t)(uint32_t)e->table[at] - 1;
    e->id[e->n] = (int32_t)id;
    e->last[e->n] = e->number[e->n] = -1;
    e->count[e->n++] = 0;
    e->table[at] = (uint64_t)id << 32 | (uint64_t)e->n;
    return (int32_t)e->n - 1;
}

#endif
