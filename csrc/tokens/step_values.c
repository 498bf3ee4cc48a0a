/* step_values.c: a step with the parameters of one row, and what its kind asks. */
#include "tokens/step_values.h"

#include <float.h>
#include <string.h>

static double number_at(fl_per_row p, int64_t r, double unset) { return p.at ? p.at[r * p.step] : unset; }

int32_t fl_kind_of(int32_t op) {
    static const int32_t kinds[] = {
#define FL_STEP(id, name, kind, needs, off) [id] = FL_##kind,
#include "steps/steps.def"
#undef FL_STEP
    };
    return kinds[op];
}

int32_t fl_needs_of(int32_t op) {
    static const int32_t all[] = {
#define FL_STEP(id, name, kind, needs, off) [id] = FL_NEEDS_##needs,
#include "steps/steps.def"
#undef FL_STEP
    };
    return all[op];
}

int64_t fl_lists_of(const fl_lists *l, int64_t r) { return l->rows ? l->rows[r + 1] - l->rows[r] : l->count; }

static int hears_of(int32_t op) {
    return op == FL_OP_mirostat ? FL_HEARS_SURPRISE : op == FL_OP_adaptive_p ? FL_HEARS_SHARE : FL_HEARS_NOTHING;
}

/* Lengths become integers; those beyond any context mean the same as this one, and NaN too. */
static void limit_length(double *length) { *length = *length < 0x1p62 ? (*length > -1.0 ? *length : -1.0) : 0x1p62; }

static void limit_lengths(fl_step_values *v) {
    if (v->op == FL_OP_top_k) limit_length(&v->value);
    if (v->op == FL_OP_dry) limit_length(&v->third);
    if (v->op == FL_OP_repetition_penalty) limit_length(&v->second);
    if (v->op == FL_OP_no_repeat_ngram || v->op == FL_OP_encoder_no_repeat_ngram) limit_length(&v->value);
}

void fl_step_values_read(fl_step_values *v, const fl_step *s, int64_t r, int32_t index) {
    *v = (fl_step_values){.op = s->op, .kind = fl_kind_of(s->op), .needs = fl_needs_of(s->op), .index = index};
    v->hears = hears_of(s->op);
    v->value = number_at(s->value, r, 0);
    v->second = number_at(s->second, r, 0);
    v->third = number_at(s->third, r, 0);
    limit_lengths(v);
    v->min_keep = fl_integer_at(s->min_keep, r, 1);
    v->flags = (int32_t)fl_integer_at(s->flags, r, 0);
    v->window = fl_integer_at(s->window, r, -1);
    const fl_lists *l = &s->lists;
    int64_t from = l->rows ? l->rows[r] : 0;
    v->ids = l->ids && !l->offsets ? l->ids + from : l->ids;
    v->offsets = l->offsets ? l->offsets + from : NULL;
    v->values = l->values ? l->values + from : NULL;
    v->entries = fl_lists_of(l, r);
    v->words = s->words ? s->words + r * s->words_step : NULL;
    v->words_n = s->words_n;
}

int64_t fl_counts_from(const fl_step_values *v, int64_t prompt_length) {
    return v->flags & FL_PROMPT ? 0 : prompt_length;
}

double fl_target(const fl_step_values *v, double total) {
    double target = v->value * total;
    uint64_t bits;
    memcpy(&bits, &target, 8);
    bits += v->flags & FL_STRICT ? 1 : 0;
    memcpy(&target, &bits, 8);
    return target;
}

double fl_smoothed(const fl_step_values *v, double logit, double top) {
    double d = logit - top, k = v->value * (3.0 - v->second) / 2, s = v->value * (v->second - 1.0) / 2;
    return logit < -DBL_MAX ? logit : top - k * (d * d) + s * (d * d * d);
}
