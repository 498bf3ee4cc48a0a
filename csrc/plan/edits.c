/* edits.c: the tokens that the edits of the head name, and those that the dense passes read. */
#include "plan/edits.h"
#include <float.h>
#include <string.h>
#include "steps/steps.h"

/* Entries for the tokens of the context from `start` on, the last ones first; placeholders have none. */
static void add_context(fl_edits *e, int64_t start) {
    fl_edits local = *e; /* its fields stay in registers */
    for (int64_t i = local.context.n - 1; i >= start; i--) {
        int64_t token = local.context.ids[i];
        int32_t at = token < 0 ? -1 : fl_edits_insert(&local, token);
        local.slots[i] = at;
        if (at < 0) continue;
        if (local.last[at] < 0) local.last[at] = (int32_t)i;
        local.count[at]++;
    }
    *e = local;
    e->counted_from = start;
}

/* The same from a history. */
static void add_history(fl_edits *e, int64_t start) {
    const fl_history *h = e->context.history;
    fl_edits local = *e;
    for (int32_t d = h->newest; d >= 0 && h->last[d] >= start; d = h->older[d]) {
        if (h->id[d] < 0) continue; /* a placeholder */
        int32_t at = fl_edits_insert(&local, h->id[d]);
        local.last[at] = h->last[d];
        local.number[at] = d;
    }
    *e = local;
}

/* The first position that a penalty of the head reads. */
static int64_t first_read(const fl_edits *e, const fl_program *p) {
    int64_t start = e->context.n;
    for (int32_t i = 0; i < p->head; i++)
        if (fl_reads_context(&p->at[i])) {
            int64_t from = fl_window_start(e, &p->at[i]);
            start = from < start ? from : start;
        }
    return start;
}

/* bits becomes the mask, or what both allow. Tokens that the mask has no word for are masked. */
static void add_mask(uint32_t *bits, int64_t words, const fl_step_values *v, int first) {
    int64_t given = v->words_n < words ? v->words_n : words;
    if (first)
        memcpy(bits, v->words, (size_t)given * sizeof(uint32_t));
    else
        for (int64_t w = 0; w < given; w++) bits[w] &= v->words[w];
    memset(bits + given, 0, (size_t)(words - given) * sizeof(uint32_t));
}

/* The tokens of the dense passes: allowed by every mask of the head, and not edited. */
static int make_live(fl_scratch *s, const fl_program *p, int64_t n, const fl_edits *e, const uint16_t **live) {
    int64_t words = (n + 31) / 32, masks = 0;
    const fl_step_values *only = NULL;
    for (int32_t i = 0; i < p->head; i++)
        if (p->at[i].words) {
            masks++;
            only = &p->at[i];
        }
    *live = NULL;
    if (!masks && !e->n) return FL_OK;
    if (masks == 1 && !e->n && only->words_n >= words) {
        *live = (const uint16_t *)(const void *)only->words;
        return FL_OK;
    }
    uint32_t *bits = fl_buffer(s, FL_BUF_LIVE, (size_t)words * sizeof(uint32_t));
    if (!bits) return FL_NO_MEMORY;
    if (!masks) memset(bits, 0xff, (size_t)words * sizeof(uint32_t));
    for (int32_t i = 0, first = 1; i < p->head; i++) {
        if (!p->at[i].words) continue;
        add_mask(bits, words, &p->at[i], first);
        first = 0;
    }
    for (int64_t i = 0; i < e->n; i++) bits[e->id[i] / 32] &= ~(1u << e->id[i] % 32);
    *live = (const uint16_t *)(const void *)bits;
    return FL_OK;
}

static int overflowed(const fl_edits *e) {
    int over = 0;
    for (int64_t i = 0; i < e->n; i++) over |= !(e->logit[i] <= DBL_MAX);
    return over;
}

static void fetch_values(fl_edits *e, const fl_row *row) {
    if (row->dtype == FL_F32 && !row->blend && !row->wide) {
        const float *x = row->x;
        for (int64_t i = 0; i < e->n; i++) {
            float v;
            memcpy(&v, x + e->id[i], 4);
            e->logit[i] = (double)v;
        }
    } else {
        for (int64_t i = 0; i < e->n; i++) e->logit[i] = fl_row_value(row, e->id[i]);
    }
}

/* The head again, step by step, to name the one that left the finite numbers. */
static int blame(fl_edits *e, const fl_program *p, const fl_row *row, fl_where *where) {
    fetch_values(e, row);
    if (overflowed(e)) {
        int fault = fl_row_fault(row);
        return fault ? fault : FL_CHANGED;
    }
    for (int32_t i = 0; i < p->head; i++) {
        fl_edits_apply(e, &p->at[i]);
        if (overflowed(e)) {
            where->step = p->at[i].index;
            return FL_STEP_INF;
        }
    }
    return FL_STEP_INF;
}

int fl_edits_open(fl_scratch *s, const fl_program *p, const fl_row *row, fl_edits *e, const uint16_t **live,
                  fl_where *where) {
    int64_t start = first_read(e, p), most = e->context.n - start;
    const fl_history *h = e->context.history;
    *live = NULL;
    if (h && h->distinct < most) most = h->distinct;
    for (int32_t i = 0; i < p->head; i++) most += p->at[i].entries;
    if (fl_edits_room(s, e, most)) return FL_NO_MEMORY;
    e->counted_from = e->context.n;
    if (start < e->context.n && h)
        add_history(e, start);
    else if (start < e->context.n)
        add_context(e, start);
    for (int32_t i = 0; i < p->head; i++)
        for (int64_t b = 0; b < p->at[i].entries; b++) fl_edits_insert(e, p->at[i].ids[b]);
    fetch_values(e, row);
    for (int32_t i = 0; e->n && i < p->head; i++) fl_edits_apply(e, &p->at[i]);
    if (overflowed(e)) return blame(e, p, row, where);
    return make_live(s, p, row->n, e, live);
}
