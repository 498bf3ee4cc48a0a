/* dispatch.c: from the id of a step to its function. */
#include "steps/steps.h"
#include <float.h>

void fl_resolve(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    switch (v->op) {
#define FL_RESOLVE_NOTHING(name)
#define FL_RESOLVE_MASS(name)
#define FL_RESOLVE_ENTROPY(name)
#define FL_RESOLVE_POWER(name)
#define FL_RESOLVE_SPREAD(name)
#define FL_RESOLVE_LIST(name)
#define FL_RESOLVE_PREFIX_BY_MASS(name)
#define FL_RESOLVE_PREFIX_BY_SPREAD(name)
#define FL_RESOLVE_CONTEXT(name)                                                                                       \
    case FL_OP_##name: fl_resolve_##name(c, v, ids, values); break;
#define FL_STEP(id, name, kind, needs, off) FL_RESOLVE_##needs(name)
#include "steps/steps.def"
#undef FL_STEP
    default: break;
    }
    v->offsets = NULL;
    v->needs = 0;
}

void fl_edits_apply(fl_edits *e, const fl_step_values *v) {
    switch (v->op) {
#define FL_APPLY_EDIT(name)                                                                                            \
    case FL_OP_##name: fl_edit_##name(e, v); break;
#define FL_APPLY_BLEND(name)
#define FL_APPLY_MAP(name)
#define FL_APPLY_CUT(name)
#define FL_APPLY_PICK(name)
#define FL_STEP(id, name, kind, needs, off) FL_APPLY_##kind(name)
#include "steps/steps.def"
#undef FL_STEP
    case FL_OP_temperature: e->k->list_divide(e->logit, e->n, v->value); break;
    default: break;
    }
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
static int edit_list(fl_cands *c, const fl_step_values *v) {
    fl_edits e = *c->edits;
    if (fl_edits_room(c->s, &e, c->n)) return FL_NO_MEMORY;
    for (int64_t i = 0; i < c->n; i++) e.logit[fl_edits_insert(&e, c->id[i])] = c->logit[i];
    if (fl_reads_context(v)) find_in_context(&e);
    e.counted_from = -1;
    fl_edits_apply(&e, v);
    for (int64_t i = 0; i < c->n; i++) c->logit[i] = e.logit[i];
    for (int64_t i = 0; i < c->n; i++)
        if (!(c->logit[i] <= DBL_MAX)) return FL_STEP_INF;
    return FL_OK;
}

int fl_cands_step(fl_cands *c, const fl_step_values *v) {
    if (v->kind == FL_EDIT) {
        int status = edit_list(c, v);
        c->total = 0;
        return status ? status : fl_cands_resort(c);
    }
    switch (v->op) {
#define FL_RUN_BLEND(name)
#define FL_RUN_EDIT(name)
#define FL_RUN_MAP(name)                                                                                               \
    case FL_OP_##name: fl_list_##name(c, v); break;
#define FL_RUN_CUT(name) FL_RUN_MAP(name)
#define FL_RUN_PICK(name) FL_RUN_MAP(name)
#define FL_STEP(id, name, kind, needs, off) FL_RUN_##kind(name)
#include "steps/steps.def"
#undef FL_STEP
    default: break;
    }
    if (c->more || c->failed) return c->failed;
    if (v->needs) c->total = 0;
    return c->n && c->logit[0] <= DBL_MAX ? FL_OK : FL_STEP_INF;
}
