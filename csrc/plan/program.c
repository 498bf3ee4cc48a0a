/* program.c: the steps of a plan that do something to one row, with that row's parameters. */
#include "plan/job.h"

static double number_at(fl_per_row p, int64_t r, double unset) { return p.at ? p.at[r * p.step] : unset; }
int64_t fl_integer_at(fl_per_row_i p, int64_t r, int64_t unset) { return p.at ? p.at[r * p.step] : unset; }

static int kind_of(int32_t op) {
    static const int32_t kinds[] = {
#define FL_STEP(id, name, kind, needs) [id] = FL_##kind,
#include "steps/steps.def"
#undef FL_STEP
    };
    return kinds[op];
}

static int needs_of(int32_t op) {
    static const int32_t all[] = {
#define FL_STEP(id, name, kind, needs) [id] = FL_NEEDS_##needs,
#include "steps/steps.def"
#undef FL_STEP
    };
    return all[op];
}

/* How many lists belong to row r. */
static int64_t lists_of(const fl_lists *l, int64_t r) { return l->rows ? l->rows[r + 1] - l->rows[r] : l->count; }

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

fl_step_values fl_step_values_of(const fl_step *s, int64_t r, int32_t index) {
    fl_step_values v = {.op = s->op, .kind = kind_of(s->op), .needs = needs_of(s->op), .index = index};
    v.hears = hears_of(s->op);
    v.value = number_at(s->value, r, 0);
    v.second = number_at(s->second, r, 0);
    v.third = number_at(s->third, r, 0);
    limit_lengths(&v);
    v.min_keep = fl_integer_at(s->min_keep, r, 1);
    v.flags = (int32_t)fl_integer_at(s->flags, r, 0);
    v.window = fl_integer_at(s->window, r, -1);
    const fl_lists *l = &s->lists;
    int64_t from = l->rows ? l->rows[r] : 0;
    v.ids = l->ids && !l->offsets ? l->ids + from : l->ids;
    v.offsets = l->offsets ? l->offsets + from : NULL;
    v.values = l->values ? l->values + from : NULL;
    v.entries = lists_of(l, r);
    v.words = s->words ? s->words + r * s->words_step : NULL;
    v.words_n = s->words_n;
    return v;
}

/* Whether the step leaves every row as it is. */
static int is_off(const fl_step_values *v, int64_t n, int64_t context_n) {
    switch (v->op) {
    case FL_OP_repetition_penalty: return v->value == 1.0 || context_n == 0 || (v->window == 0 && v->second == 0.0);
    case FL_OP_frequency_penalty:
    case FL_OP_presence_penalty: return v->value == 0.0 || context_n == 0 || v->window == 0;
    case FL_OP_temperature: return v->value == 1.0;
    case FL_OP_top_k: return v->value <= 0 || v->value >= (double)n;
    case FL_OP_top_p: return v->value >= 1.0;
    case FL_OP_typical_p:
    case FL_OP_tfs: return v->value >= 1.0;
    case FL_OP_min_p:
    case FL_OP_smoothing:
    case FL_OP_epsilon_cutoff:
    case FL_OP_eta_cutoff:
    case FL_OP_top_a:
    case FL_OP_top_n_sigma:
    case FL_OP_xtc: return v->value <= 0.0;
    case FL_OP_p_less:
    case FL_OP_top_h:
    case FL_OP_adaptive_p:
    case FL_OP_min_k: return v->value != v->value;
    case FL_OP_mirostat: return v->value == 0.0;
    case FL_OP_dynamic_temperature: return v->value == 1.0 && v->second == 1.0;
    case FL_OP_encoder_repetition_penalty: return v->value == 1.0 || v->entries == 0;
    case FL_OP_remove_invalid_values:
    case FL_OP_renormalize_logits: return v->value == 0.0;
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

static void remembered(fl_step_values *v, const double *memory) {
    const double *own = memory ? memory + v->index * FL_MEMORY : NULL;
    if (own && own[0] == own[0])
        memcpy(v->memory, own, sizeof v->memory);
    else
        fl_memory_begin(v, v->memory);
}

void fl_plan_remember(const fl_plan *plan, int64_t row, const double *observed, double *memory) {
    uint64_t saved = fl_env_enter();
    for (int32_t i = 0; i < plan->count; i++) {
        fl_step_values v = fl_step_values_of(&plan->steps[i], row, i);
        if (!v.hears || observed[i] != observed[i]) continue;
        remembered(&v, memory);
        fl_memory_next(&v, observed[i], v.memory);
        memcpy(memory + i * FL_MEMORY, v.memory, sizeof v.memory);
    }
    fl_env_leave(saved);
}

static int forces(const fl_step_values *v) {
    return v->op == FL_OP_forced_bos_token || v->op == FL_OP_forced_eos_token;
}

/* Room for what the steps that read the context come to: `room` ids, then as many values. */
static int64_t *resolved_room(fl_scratch *s, const fl_plan *plan, int64_t r, const fl_context *c, int64_t *room) {
    *room = 0;
    for (int32_t i = 0; i < plan->count; i++)
        if (needs_of(plan->steps[i].op) == FL_NEEDS_CONTEXT) *room += lists_of(&plan->steps[i].lists, r) + c->n;
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
        fl_step_values v = fl_step_values_of(&plan->steps[i], r, i);
        if (v.needs == FL_NEEDS_CONTEXT) {
            int64_t own = v.entries + c->n;
            fl_resolve(c, &v, ids, values);
            ids += own;
            values += own;
        }
        if (v.op == FL_OP_xtc) v.stream = ++random;
        if (v.op == FL_OP_skew) p->skew += v.value;
        if (v.op == FL_OP_allowed_tokens) { /* the words say it all */
            v.words = v.entries ? v.words : NULL;
            v.entries = 0;
        }
        if (v.kind == FL_BLEND || is_off(&v, n, c->n)) continue;
        if (v.op == FL_OP_remove_invalid_values) {
            p->repair = 1;
            continue;
        }
        if (forces(&v)) p->count = p->shares = 0; /* what came before no longer matters */
        v.vocab = n;
        if (v.min_keep > n) v.min_keep = n;
        if (v.op == FL_OP_mirostat && v.value == 1.0) v.needs = FL_NEEDS_PREFIX;
        if (v.hears) remembered(&v, memory);
        if (v.hears == FL_HEARS_SHARE) v.slot = p->shares++;
        if (v.op == FL_OP_temperature && v.value == 0.0) {
            v.op = FL_OP_greedy;
            v.kind = FL_CUT;
        }
        p->at[p->count++] = v;
    }
    for (p->renormalise = 0; p->count && p->at[p->count - 1].op == FL_OP_renormalize_logits; p->count--)
        p->renormalise = 1;
    fl_program_head(p);
    return FL_OK;
}
