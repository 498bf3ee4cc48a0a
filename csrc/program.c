/* program.c: the steps of a plan that do something to one row, with that row's parameters. */
#include "pipeline.h"

static double number_at(fl_per_row p, int64_t r, double unset) { return p.at ? p.at[r * p.step] : unset; }
int64_t fl_integer_at(fl_per_row_i p, int64_t r, int64_t unset) { return p.at ? p.at[r * p.step] : unset; }

static int kind_of(int32_t op) {
    static const int32_t kinds[] = {
#define FL_STEP(id, name, kind) [id] = FL_##kind,
#include "steps.def"
#undef FL_STEP
    };
    return kinds[op];
}

static fl_step_values values_of(const fl_step *s, int64_t r, int32_t index) {
    fl_step_values v = {.op = s->op, .kind = kind_of(s->op), .index = index};
    v.value = number_at(s->value, r, 0);
    v.min_keep = fl_integer_at(s->min_keep, r, 1);
    v.flags = (int32_t)fl_integer_at(s->flags, r, 0);
    v.window = fl_integer_at(s->window, r, -1);
    int64_t from = s->bias_offsets ? s->bias_offsets[r] : 0;
    v.bias_ids = s->bias_ids + (s->bias_ids ? from : 0);
    v.bias_values = s->bias_values + (s->bias_values ? from : 0);
    v.entries = s->bias_offsets ? s->bias_offsets[r + 1] - from : s->entries;
    v.words = s->words ? s->words + r * s->words_step : NULL;
    v.words_n = s->words_n;
    return v;
}

/* Whether the step leaves every row as it is. */
static int is_off(const fl_step_values *v, int64_t n, int64_t context_n) {
    switch (v->op) {
    case FL_OP_repetition_penalty: return v->value == 1.0 || context_n == 0 || v->window == 0;
    case FL_OP_frequency_penalty:
    case FL_OP_presence_penalty: return v->value == 0.0 || context_n == 0 || v->window == 0;
    case FL_OP_logit_bias: return v->entries == 0;
    case FL_OP_mask: return v->words == NULL;
    case FL_OP_temperature: return v->value == 1.0;
    case FL_OP_top_k: return v->value <= 0 || v->value >= (double)n;
    case FL_OP_top_p: return v->value >= 1.0;
    case FL_OP_min_p: return v->value <= 0.0;
    case FL_OP_draw: return 1;
    default: return 0;
    }
}

void fl_program_read(fl_program *p, const fl_plan *plan, int64_t r, int64_t n, int64_t context_n) {
    int open = 1;
    p->count = p->head = p->edits = 0;
    p->temperature = 1.0;
    for (int32_t i = 0; i < plan->count; i++) {
        fl_step_values v = values_of(&plan->steps[i], r, i);
        if (is_off(&v, n, context_n)) continue;
        if (v.op == FL_OP_temperature && v.value == 0.0) {
            v.op = FL_OP_greedy;
            v.kind = FL_CUT;
        }
        open &= v.kind == FL_EDIT || v.kind == FL_MAP;
        if (open) {
            p->head++;
            p->edits += v.kind == FL_EDIT;
            p->temperature *= v.kind == FL_MAP ? v.value : 1.0;
        }
        p->at[p->count++] = v;
    }
}
