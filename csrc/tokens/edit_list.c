/* edit_list.c: edited tokens stand in a short list beside the row, each with all its edits applied once, in order. */
#include "plan/job.h"

/* A place of the table holds id in its upper half and entry + 1 in its lower one; 0 is free. */
static uint32_t place_of(const fl_edits *e, int64_t id) { return (uint32_t)id * 2654435769u >> e->shift; }

int64_t fl_edits_find(const fl_edits *e, int64_t id) {
    if (!e->n) return -1;
    for (uint32_t at = place_of(e, id);; at = (at + 1) & (0xffffffffu >> e->shift)) {
        uint64_t place = e->table[at];
        if (!place || (int64_t)(place >> 32) == id) return (int64_t)(place & 0xffffffff) - 1;
    }
}

/* Entry of id, made when missing. */
static inline int32_t insert(fl_edits *e, int64_t id) {
    uint32_t at = place_of(e, id);
    for (; e->table[at]; at = (at + 1) & (0xffffffffu >> e->shift))
        if ((int64_t)(e->table[at] >> 32) == id) return (int32_t)(uint32_t)e->table[at] - 1;
    e->id[e->n] = (int32_t)id;
    e->last[e->n] = e->number[e->n] = -1;
    e->count[e->n++] = 0;
    e->table[at] = (uint64_t)id << 32 | (uint64_t)e->n;
    return (int32_t)e->n - 1;
}

/* Room for `most` entries and an empty table at most half full. */
static int make_room(fl_scratch *s, fl_edits *e, int64_t most) {
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

int64_t fl_counts_from(const fl_step_values *v, int64_t prompt_length) {
    return v->flags & FL_PROMPT ? 0 : prompt_length;
}

int64_t fl_window_start(const fl_edits *e, const fl_step_values *v) {
    int64_t from = fl_counts_from(v, e->context.prompt_length), n = e->context.n;
    int64_t decay = v->op == FL_OP_repetition_penalty ? (int64_t)v->second : 0;
    int64_t start = v->window < 0 || v->window > n - decay ? 0 : n - decay - v->window;
    return start > from ? start : from;
}

static int reads_context(const fl_step_values *v) {
    return v->op == FL_OP_repetition_penalty || v->op == FL_OP_frequency_penalty || v->op == FL_OP_presence_penalty;
}

/* Entries for the tokens of the context from `start` on, the last ones first. */
static void add_context(fl_edits *e, int64_t start) {
    fl_edits local = *e; /* its fields stay in registers */
    for (int64_t i = local.context.n - 1; i >= start; i--) {
        int32_t at = insert(&local, local.context.ids[i]);
        local.slots[i] = at;
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
        int32_t at = insert(&local, h->id[d]);
        local.last[at] = h->last[d];
        local.number[at] = d;
    }
    *e = local;
}

/* The first position that a penalty of the head reads. */
static int64_t first_read(const fl_edits *e, const fl_program *p) {
    int64_t start = e->context.n;
    for (int32_t i = 0; i < p->head; i++)
        if (reads_context(&p->at[i])) {
            int64_t from = fl_window_start(e, &p->at[i]);
            start = from < start ? from : start;
        }
    return start;
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

void fl_edits_apply(fl_edits *e, const fl_step_values *v) {
    switch (v->op) {
#define FL_APPLY_EDIT(name)                                                                                            \
    case FL_OP_##name: fl_edit_##name(e, v); break;
#define FL_APPLY_BLEND(name)
#define FL_APPLY_MAP(name)
#define FL_APPLY_CUT(name)
#define FL_APPLY_PICK(name)
#define FL_STEP(id, name, kind, needs) FL_APPLY_##kind(name)
#include "steps/steps.def"
#undef FL_STEP
    case FL_OP_temperature: e->k->list_divide(e->logit, e->n, v->value); break;
    default: break;
    }
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
    if (make_room(s, e, most)) return FL_NO_MEMORY;
    e->counted_from = e->context.n;
    if (start < e->context.n && h)
        add_history(e, start);
    else if (start < e->context.n)
        add_context(e, start);
    for (int32_t i = 0; i < p->head; i++)
        for (int64_t b = 0; b < p->at[i].entries; b++) insert(e, p->at[i].ids[b]);
    fetch_values(e, row);
    for (int32_t i = 0; e->n && i < p->head; i++) fl_edits_apply(e, &p->at[i]);
    if (overflowed(e)) return blame(e, p, row, where);
    return make_live(s, p, row->n, e, live);
}

double fl_head_value(const fl_program *p, double value) {
    for (int32_t i = 0; i < p->head; i++)
        if (p->at[i].op == FL_OP_temperature) value /= p->at[i].value;
    return value;
}

void fl_head_values(const fl_kernels *k, const fl_program *p, double *values, int64_t n) {
    for (int32_t i = 0; i < p->head; i++)
        if (p->at[i].op == FL_OP_temperature) k->list_divide(values, n, p->at[i].value);
}

/* Where the entries occur last in the context, and what knows how often. */
static void find_in_context(fl_edits *e) {
    const fl_history *h = e->context.history;
    for (int64_t i = 0; h && i < e->n; i++) {
        e->number[i] = fl_history_find(h, e->id[i]);
        e->last[i] = e->number[i] < 0 ? -1 : h->last[e->number[i]];
    }
    for (int64_t i = 0; !h && i < e->context.n; i++) {
        e->slots[i] = (int32_t)fl_edits_find(e, e->context.ids[i]);
        if (e->slots[i] >= 0) e->last[e->slots[i]] = (int32_t)i;
    }
}

/* The survivors become the entries, the edit acts, and they are sorted again. */
int fl_cands_edit(fl_cands *c, const fl_step_values *v) {
    fl_edits e = *c->edits;
    if (make_room(c->s, &e, c->n)) return FL_NO_MEMORY;
    for (int64_t i = 0; i < c->n; i++) e.logit[insert(&e, c->id[i])] = c->logit[i];
    if (reads_context(v)) find_in_context(&e);
    e.counted_from = -1;
    fl_edits_apply(&e, v);
    for (int64_t i = 0; i < c->n; i++) c->logit[i] = e.logit[i];
    for (int64_t i = 0; i < c->n; i++)
        if (!(c->logit[i] <= DBL_MAX)) return FL_STEP_INF;
    return FL_OK;
}
