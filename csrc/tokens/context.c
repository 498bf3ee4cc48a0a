/* context.c: edits that depend on the tokens before become plain ones: tokens, values, words. */
#include "plan/job.h"

int fl_context_ends(const fl_context *c, const int64_t *ids, int64_t n) {
    if (n > c->n) return 0;
    for (int64_t i = 0; i < n; i++)
        if (c->ids[c->n - n + i] != ids[i]) return 0;
    return 1;
}

void fl_resolve(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    switch (v->op) {
#define FL_RESOLVE_NOTHING(name)
#define FL_RESOLVE_MASS(name)
#define FL_RESOLVE_ENTROPY(name)
#define FL_RESOLVE_POWER(name)
#define FL_RESOLVE_SPREAD(name)
#define FL_RESOLVE_LIST(name)
#define FL_RESOLVE_CONTEXT(name)                                                                                       \
    case FL_OP_##name: fl_resolve_##name(c, v, ids, values); break;
#define FL_STEP(id, name, kind, needs) FL_RESOLVE_##needs(name)
#include "steps/steps.def"
#undef FL_STEP
    default: break;
    }
    v->offsets = NULL;
    v->needs = 0;
}
