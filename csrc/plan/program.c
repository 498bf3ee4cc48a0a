/* program.c: the steps of a plan that do something to one row, with that row's parameters. */
#include "plan/program.h"
#include <string.h>
#include "steps/steps.h"
#include "tokens/memory.h"

/* Whether the step leaves every row as it is. */
static int is_off(const fl_step_values *v, int64_t n, int64_t context_n) {
    switch (v->op) {
    case FL_OP_repetition_penalty: return v->value == 1.0 || context_n == 0 || (v->window == 0 && v->second == 0.0);
    case FL_OP_frequency_penalty:
    case FL_OP_presence_penalty: return v->value == 0.0 || context_n == 0 || v->window == 0;
    case FL_OP_top_k: return v->value <= 0 || v->value >= (double)n;
    case FL_OP_dynamic_temperature: return v->value == 1.0 && v->second == 1.0;
    case FL_OP_encoder_repetition_penalty: return v->value == 1.0 || v->entries == 0;
#define FL_OFF_NEVER(name)
#define FL_OFF_ZERO(name)                                                                                              \
    case FL_OP_##name: return v->value == 0.0;
#define FL_OFF_ONE(name)                                                                                               \
    case FL_OP_##name: return v->value == 1.0;
#define FL_OFF_NONE(name)                                                                                              \
    case FL_OP_##name: return v->value != v->value;
#define FL_STEP(id, name, kind, needs, off) FL_OFF_##off(name)
#include "steps/steps.def"
#undef FL_STEP
    case FL_OP_skew:
    case FL_OP_draw:
    case FL_OP_gumbel: return 1;
    default: return v->kind == FL_EDIT && v->entries == 0 && !v->words;
    }
}

void fl_program_head(fl_program *p) {
    p->head = p->edits = 0;
    p->temperature = 1.0;
    for (; p->head < p->count; p->head++) {
        fl_step_values *v = &p->at[p->head];
        if (v->op == FL_OP_temperature && v->value == 0.0) {
            v->op = FL_OP_greedy;
            v->kind = FL_CUT;
        }
        if (v->kind != FL_EDIT && v->op != FL_OP_temperature) return;
        p->edits += v->kind == FL_EDIT;
        p->temperature *= v->op == FL_OP_temperature ? v->value : 1.0;
    }
}

static int forces(const fl_step_values *v) {
    return v->op == FL_OP_forced_bos_token || v->op == FL_OP_forced_eos_token;
}

/* Room for what the steps that read the context come to: `room` ids, then as many values. */
static int64_t *resolved_room(fl_scratch *s, const fl_plan *plan, int64_t r, const fl_context *c, int64_t *room) {
    *room = 0;
    for (int32_t i = 0; i < plan->count; i++)
        if (fl_needs_of(plan->steps[i].op) == FL_NEEDS_CONTEXT) *room += fl_lists_of(&plan->steps[i].lists, r) + c->n;
    return fl_buffer(s, FL_BUF_RESOLVED, (size_t)*room * (sizeof(int64_t) + sizeof(double)) + 1);
}

int fl_program_read(fl_program *p, fl_scratch *s, const fl_plan *plan, int64_t r, int64_t n, const fl_context *c,
                    const double *memory) {
    uint64_t random = 0;
    int64_t room, *ids = resolved_room(s, plan, r, c, &room);
    if (!ids) return FL_NO_MEMORY;
    double *values = (double *)(void *)(ids + room);
    p->count = p->shares = p->repair = 0;
    p->skew = 0;
    for (int32_t i = 0; i < plan->count; i++) {
        fl_step_values *v = &p->at[p->count];
        fl_step_values_read(v, &plan->steps[i], r, i);
        if (v->needs == FL_NEEDS_CONTEXT) {
            int64_t own = v->entries + c->n;
            fl_resolve(c, v, ids, values);
            ids += own;
            values += own;
        }
        if (v->op == FL_OP_xtc) v->stream = ++random;
        if (v->op == FL_OP_skew) p->skew += v->value;
        if (v->op == FL_OP_allowed_tokens) { /* the words say it all */
            v->words = v->entries ? v->words : NULL;
            v->entries = 0;
        }
        if (v->kind == FL_BLEND || is_off(v, n, c->n)) continue;
        if (v->op == FL_OP_remove_invalid_values) {
            p->repair = 1;
            continue;
        }
        if (forces(v)) { /* what came before no longer matters */
            p->at[0] = *v;
            v = p->at;
            p->count = p->shares = 0;
        }
        v->vocab = n;
        if (v->min_keep > n) v->min_keep = n;
        if (v->op == FL_OP_mirostat && v->value == 1.0) v->needs = FL_NEEDS_PREFIX;
        if (v->hears) fl_memory_read(v, memory);
        if (v->hears == FL_HEARS_SHARE) v->slot = p->shares++;
        if (v->op == FL_OP_temperature && v->value == 0.0) {
            v->op = FL_OP_greedy;
            v->kind = FL_CUT;
        }
        p->count++;
    }
    for (p->renormalise = 0; p->count && p->at[p->count - 1].op == FL_OP_renormalize_logits; p->count--)
        p->renormalise = 1;
    fl_program_head(p);
    return FL_OK;
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
