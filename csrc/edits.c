/* edits.c: edited tokens stand in a short list beside the row, each with all its edits applied once, in order. */
#include "pipeline.h"

static uint32_t slot_of(const fl_edits *e, int64_t id) { return (uint32_t)id * 2654435769u >> 7 & e->slots_mask; }

fl_edit *fl_edits_find(const fl_edits *e, int64_t id) {
    if (!e->count) return NULL;
    for (uint32_t at = slot_of(e, id);; at = (at + 1) & e->slots_mask) {
        int32_t entry = e->table[at];
        if (!entry) return NULL;
        if (e->at[entry - 1].id == id) return &e->at[entry - 1];
    }
}

/* Entry of id, made when missing. */
static int32_t insert(fl_edits *e, int64_t id) {
    uint32_t at = slot_of(e, id);
    for (; e->table[at]; at = (at + 1) & e->slots_mask)
        if (e->at[e->table[at] - 1].id == id) return e->table[at] - 1;
    e->at[e->count] = (fl_edit){.id = (int32_t)id};
    e->table[at] = (int32_t)++e->count;
    return (int32_t)e->count - 1;
}

/* Room for `most` entries and an empty table at most half full. */
static int make_room(fl_scratch *s, fl_edits *e, int64_t most) {
    uint32_t size = 64;
    while ((int64_t)size < 2 * most) size *= 2;
    e->at = fl_buffer(s, FL_BUF_EDITS, (size_t)(most + 1) * sizeof(fl_edit));
    e->table = fl_buffer(s, FL_BUF_TABLE, size * sizeof(int32_t));
    e->slots = fl_buffer(s, FL_BUF_SLOTS, (size_t)(e->context_n + 1) * sizeof(int32_t));
    if (!e->at || !e->table || !e->slots) return FL_NO_MEMORY;
    memset(e->table, 0, size * sizeof(int32_t));
    e->slots_mask = size - 1;
    e->count = 0;
    return FL_OK;
}

int64_t fl_window_start(const fl_edits *e, const fl_step_values *v, int64_t from) {
    int64_t start = v->window < 0 || v->window > e->context_n ? 0 : e->context_n - v->window;
    return start > from ? start : from;
}

static int reads_context(const fl_step_values *v) {
    return v->op == FL_OP_repetition_penalty || v->op == FL_OP_frequency_penalty || v->op == FL_OP_presence_penalty;
}

static int64_t context_start(const fl_edits *e, const fl_step_values *v) {
    return fl_window_start(e, v, v->op == FL_OP_repetition_penalty ? 0 : e->prompt_length);
}

static int add_context(fl_edits *e, const fl_program *p, int64_t n, fl_where *where) {
    int64_t start = e->context_n;
    for (int64_t i = 0; i < e->context_n; i++)
        if (e->context[i] < 0 || e->context[i] >= n) {
            where->value = (double)e->context[i];
            return FL_BAD_TOKEN;
        }
    for (int32_t i = 0; i < p->head; i++)
        if (reads_context(&p->at[i])) {
            int64_t from = context_start(e, &p->at[i]);
            start = from < start ? from : start;
        }
    for (int64_t i = start; i < e->context_n; i++) e->slots[i] = insert(e, e->context[i]);
    return FL_OK;
}

/* The tokens of the dense passes: allowed by every mask of the head, and not edited. */
static int make_live(fl_scratch *s, const fl_program *p, int64_t n, const fl_edits *e, const uint16_t **live) {
    int64_t words = (n + 31) / 32, masks = 0;
    const fl_step_values *only = NULL;
    for (int32_t i = 0; i < p->head; i++)
        if (p->at[i].op == FL_OP_mask) {
            masks++;
            only = &p->at[i];
        }
    *live = NULL;
    if (!masks && !e->count) return FL_OK;
    if (masks == 1 && !e->count && only->words_n >= words) {
        *live = (const uint16_t *)(const void *)only->words;
        return FL_OK;
    }
    uint32_t *bits = fl_buffer(s, FL_BUF_LIVE, (size_t)words * sizeof(uint32_t));
    if (!bits) return FL_NO_MEMORY;
    memset(bits, 0xff, (size_t)words * sizeof(uint32_t));
    for (int32_t i = 0; i < p->head; i++) {
        const fl_step_values *v = &p->at[i];
        if (v->op != FL_OP_mask) continue;
        for (int64_t w = 0; w < words; w++) bits[w] &= w < v->words_n ? v->words[w] : 0;
    }
    for (int64_t i = 0; i < e->count; i++) bits[e->at[i].id / 32] &= ~(1u << e->at[i].id % 32);
    *live = (const uint16_t *)(const void *)bits;
    return FL_OK;
}

void fl_edits_apply(fl_edits *e, const fl_step_values *v) {
    e->stamp++;
    switch (v->op) {
#define FL_APPLY_EDIT(name)                                                                                            \
    case FL_OP_##name: fl_edit_##name(e, v); break;
#define FL_APPLY_MAP(name)
#define FL_APPLY_CUT(name)
#define FL_APPLY_PICK(name)
#define FL_STEP(id, name, kind) FL_APPLY_##kind(name)
#include "steps.def"
#undef FL_STEP
    case FL_OP_temperature:
        for (int64_t i = 0; i < e->count; i++) e->at[i].logit /= v->value;
        break;
    default: break;
    }
}

static int overflowed(const fl_edits *e) {
    for (int64_t i = 0; i < e->count; i++)
        if (!(e->at[i].logit <= DBL_MAX)) return 1;
    return 0;
}

static void fetch_values(fl_edits *e, const fl_row *row) {
    e->stamp = 0;
    if (row->dtype == FL_F32 && !row->wide) {
        const float *x = row->x;
        for (int64_t i = 0; i < e->count; i++) {
            float v;
            memcpy(&v, x + e->at[i].id, 4);
            e->at[i].logit = (double)v;
        }
    } else {
        for (int64_t i = 0; i < e->count; i++) e->at[i].logit = fl_row_value(row, e->at[i].id);
    }
    for (int64_t i = 0; i < e->count; i++) e->at[i].stamp = 0;
}

/* The head again, step by step, to name the one that left the finite numbers. */
static int blame(fl_edits *e, const fl_program *p, const fl_row *row, fl_where *where) {
    fetch_values(e, row);
    if (overflowed(e)) return fl_row_fault(row);
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
    int64_t most = 0;
    int penalties = 0;
    *live = NULL;
    for (int32_t i = 0; i < p->head; i++) {
        most += p->at[i].op == FL_OP_logit_bias ? p->at[i].entries : 0;
        penalties |= reads_context(&p->at[i]);
    }
    most += penalties ? e->context_n : 0;
    if (make_room(s, e, most)) return FL_NO_MEMORY;
    if (penalties) {
        int status = add_context(e, p, row->n, where);
        if (status) return status;
    }
    for (int32_t i = 0; i < p->head; i++)
        for (int64_t b = 0; p->at[i].op == FL_OP_logit_bias && b < p->at[i].entries; b++) insert(e, p->at[i].bias_ids[b]);
    fetch_values(e, row);
    for (int32_t i = 0; e->count && i < p->head; i++) fl_edits_apply(e, &p->at[i]);
    if (overflowed(e)) return blame(e, p, row, where);
    return make_live(s, p, row->n, e, live);
}

double fl_head_value(const fl_program *p, double value) {
    for (int32_t i = 0; i < p->head; i++)
        if (p->at[i].op == FL_OP_temperature) value /= p->at[i].value;
    return value;
}

/* The survivors become the entries, the edit acts, and they are sorted again. */
int fl_cands_edit(fl_cands *c, const fl_step_values *v) {
    fl_edits e = *c->edits;
    if (make_room(c->s, &e, c->n)) return FL_NO_MEMORY;
    for (int64_t i = 0; i < c->n; i++) e.at[insert(&e, c->id[i])].logit = c->logit[i];
    for (int64_t i = 0; i < e.context_n; i++) {
        const fl_edit *found = fl_edits_find(&e, e.context[i]);
        e.slots[i] = found ? (int32_t)(found - e.at) : -1;
    }
    e.stamp = 0;
    fl_edits_apply(&e, v);
    for (int64_t i = 0; i < c->n; i++) c->logit[i] = e.at[i].logit;
    for (int64_t i = 0; i < c->n; i++)
        if (!(c->logit[i] <= DBL_MAX)) return FL_STEP_INF;
    return FL_OK;
}
