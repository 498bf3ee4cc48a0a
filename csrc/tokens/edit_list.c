/* edit_list.c: edited tokens stand in a short list beside the row, each with all its edits applied once, in order. */
#include "tokens/edit_list.h"
#include <string.h>

int64_t fl_edits_find(const fl_edits *e, int64_t id) {
    if (!e->n) return -1;
    for (uint32_t at = fl_edits_place(e, id);; at = (at + 1) & (0xffffffffu >> e->shift)) {
        uint64_t place = e->table[at];
        if (!place || (int64_t)(place >> 32) == id) return (int64_t)(place & 0xffffffff) - 1;
    }
}

int fl_edits_room(fl_scratch *s, fl_edits *e, int64_t most) {
    size_t size = 64;
    e->shift = 26;
    for (; (int64_t)size < 2 * most && e->shift > 1; size *= 2) e->shift--;
    most += most % 2; /* keeps the arrays behind aligned */
    e->logit = fl_buffer(s, FL_BUF_EDITS, (size_t)(most + 2) * (sizeof(double) + 4 * sizeof(int32_t)));
    e->table = fl_buffer(s, FL_BUF_TABLE, size * sizeof(uint64_t));
    e->slots = fl_buffer(s, FL_BUF_SLOTS, (size_t)(e->context.n + 1) * sizeof(int32_t));
    if (!e->logit || !e->table || !e->slots) return FL_NO_MEMORY;
    e->id = (int32_t *)(void *)(e->logit + most + 2);
    e->count = e->id + most + 2;
    e->last = e->count + most + 2;
    e->number = e->last + most + 2;
    memset(e->table, 0, size * sizeof(uint64_t));
    e->n = 0;
    return FL_OK;
}

int64_t fl_window_start(const fl_edits *e, const fl_step_values *v) {
    int64_t from = fl_counts_from(v, e->context.prompt_length), n = e->context.n;
    int64_t decay = v->op == FL_OP_repetition_penalty ? (int64_t)v->second : 0;
    int64_t start = v->window < 0 || v->window > n - decay ? 0 : n - decay - v->window;
    return start > from ? start : from;
}

void fl_edits_mark(fl_edits *e, int64_t start) {
    for (int64_t i = 0; i < e->n; i++) e->count[i] = e->last[i] >= start;
    e->counted_from = -1;
}

void fl_edits_count(fl_edits *e, int64_t start) {
    if (e->counted_from == start) return;
    const fl_history *h = e->context.history;
    const int32_t *counts = h ? fl_history_counts(h, start) : NULL;
    for (int64_t i = 0; i < e->n; i++) e->count[i] = counts && e->number[i] >= 0 ? counts[e->number[i]] : 0;
    for (int64_t i = start; !counts && i < e->context.n; i++) {
        int64_t at = h ? fl_edits_find(e, e->context.ids[i]) : e->slots[i];
        if (at >= 0) e->count[at]++;
    }
    e->counted_from = start;
}
