/* run_rows.c: the rows of a call, one after the other: inputs, context and random numbers of each, and what a failed one
 * leaves behind. */
#include "plan/run_rows.h"

#include <math.h>
#include <string.h>

#include "plan/blend.h"
#include "plan/plan.h"

fl_context fl_context_of(const fl_inputs *in, int64_t r) {
    fl_context c = {in->context, in->context ? in->context_n : 0, fl_integer_at(in->prompt_length, r, 0), NULL};
    c.prompt_length = c.prompt_length > 0 ? c.prompt_length : 0;
    if (in->context && in->context_offsets) {
        c.ids = in->context + in->context_offsets[r];
        c.n = in->context_offsets[r + 1] - in->context_offsets[r];
    }
    return c;
}

/* The row's context, position and key from the inputs of the call; fails at a token outside the row. The context becomes a
 * copy, which no other thread writes once it is checked. */
static int read_inputs(fl_job *j) {
    const fl_inputs *in = j->in;
    fl_context *c = &j->edits.context;
    *c = fl_context_of(in, j->r);
    j->position = fl_integer_at(in->position, j->r, c->n);
    j->key = fl_integer_at(in->keys, j->r, j->r);
    if (!c->n) return FL_OK;
    int64_t *ids = fl_buffer(j->s, FL_BUF_PATH, (size_t)c->n * sizeof(int64_t));
    if (!ids) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    c->ids = memcpy(ids, c->ids, (size_t)c->n * sizeof(int64_t));
    int64_t n = j->row.n, outside = 0; /* negative as soon as one id is negative or above the last */
    for (int64_t i = 0; i < c->n; i++) outside |= c->ids[i] | (int64_t)((uint64_t)(n - 1) - (uint64_t)c->ids[i]);
    for (int64_t i = 0; outside < 0 && i < c->n; i++)
        if ((c->ids[i] < 0 && !in->placeholders) || c->ids[i] >= n)
            return fl_fail(j, FL_BAD_TOKEN, -1, (double)c->ids[i]);
    return FL_OK;
}

static int read_sequence(fl_job *j, const fl_sequence *own) {
    const fl_history *h = own->history;
    j->edits.context = (fl_context){h->tokens, h->n, h->prompt_length, h};
    j->position = own->position;
    j->key = own->key;
    return FL_OK;
}

const double *fl_remembered(const fl_history *h, const fl_plan *plan) {
    return h->width >= plan->count * FL_MEMORY ? fl_history_remembers(h) : NULL;
}

/* invalid: the row holds +inf or NaN, to be repaired. */
static int run_once(fl_job *j, const fl_plan *plan, int64_t of, const double *memory, int invalid) {
    if (fl_program_read(&j->program, j->s, plan, of, j->row.n, &j->edits.context, memory))
        return fl_fail(j, FL_NO_MEMORY, -1, 0);
    for (int32_t i = 0; i < j->program.count; i++)
        if (j->program.at[i].stream) j->program.at[i].u = fl_uniform_of(j, j->program.at[i].stream, 0);
    if (j->program.repair && fl_row_repair(j->s, j->k, &j->row, invalid)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return fl_run_all(j);
}

/* The plan with the parameters of row `of`, on the opened row under its context. */
static int run_program(fl_job *j, const fl_plan *plan, int64_t of, const double *memory) {
    int status = run_once(j, plan, of, memory, 0);
    int invalid = j->program.repair && (status == FL_POS_INF || status == FL_NAN);
    if (!invalid) return status;
    fl_job_reset(j);
    return run_once(j, plan, of, memory, 1);
}

/* The row as what the first step makes of it and the rows beside it. A status, or -1: it makes nothing. */
static int open_blend(fl_job *j, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of) {
    fl_step_values first;
    if (!plan->count || fl_kind_of(plan->steps->op) != FL_BLEND) return -1;
    fl_step_values_read(&first, plan->steps, of, 0);
    int64_t r = j->r;
    j->r = at; /* rows beside are found by the number of the row */
    int status = fl_blend_open(j, &first, plan, x);
    j->r = r;
    return status;
}

int fl_run_row(fl_job *j, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of, const double *memory) {
    int status = open_blend(j, plan, x, at, of);
    if (status < 0 && fl_row_open(j->s, j->k, x, at, &j->row)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return status > 0 ? status : run_program(j, plan, of, memory);
}

static int run_row(fl_job *j, const fl_plan *plan, const fl_rows *x) {
    const fl_sequence *own = j->in->sequences ? &j->in->sequences[j->r] : NULL;
    int64_t of = own ? own->row : j->r;
    int status = open_blend(j, plan, x, j->r, of);
    if (status > 0) return status;
    if (status < 0 && fl_row_view(j->s, j->k, x, j->r, &j->row)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (own ? read_sequence(j, own) : read_inputs(j)) return j->where.status;
    const double *memory = own ? fl_remembered(own->history, plan) : j->in->memory;
    if (memory && !own) memory += j->r * plan->count * FL_MEMORY;
    return run_program(j, plan, of, memory);
}

/* A failed row in status mode: id -1, NaN figures; dense rows of NaN. */
static void mark_failed(const fl_job *j) {
    const fl_results *o = j->out;
    const fl_rows *dense[2] = {o->probs, o->logits};
    double nan = (double)NAN;
    for (int64_t draws = o->draws > 0 ? o->draws : 1, at = j->r * draws; at < (j->r + 1) * draws; at++) {
        if (o->ids) o->ids[at] = -1;
        if (o->perturbed) o->perturbed[at] = nan;
        if (o->logprobs) o->logprobs[at] = nan;
        if (o->raw_logprobs) o->raw_logprobs[at] = nan;
        if (o->ranks) o->ranks[at] = -1;
    }
    if (o->bases) o->bases[j->r] = nan;
    for (int64_t i = 0; i < o->top_n; i++) {
        o->top_ids[j->r * o->top_n + i] = -1;
        o->top_logprobs[j->r * o->top_n + i] = nan;
    }
    if (o->counts) o->counts[j->r] = 0;
    for (int d = 0; d < 2; d++)
        for (int64_t i = 0; dense[d] && i < dense[d]->n; i++)
            fl_store_values(&nan, 1, fl_row_address(dense[d], j->r) + i * dense[d]->stride, 0, dense[d]->dtype);
}

fl_where fl_plan_run(const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_rows *x, const fl_inputs *in,
                     const fl_results *out, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    fl_where first = {.step = -1};
    fl_inputs mine = *in;
    fl_job j;
    for (int64_t r = begin; r < end; r++) {
        const fl_plan *own = in->sequences && in->sequences[r].plan ? in->sequences[r].plan : plan;
        if (in->seeds.at) mine.seed = (uint64_t)fl_integer_at(in->seeds, r, 0);
        if (own != plan) memcpy(mine.beside, in->sequences[r].beside, sizeof mine.beside);
        fl_job_begin(&j, k, s, own, &mine, out, r);
        int status = run_row(&j, own, x);
        if (out->status) out->status[r] = status;
        if (out->trace) out->trace[r] = j.trace;
        if (!status) continue;
        if (first.status == FL_OK) first = j.where;
        if (!out->status || status == FL_NO_MEMORY) break;
        mark_failed(&j);
    }
    fl_env_leave(saved);
    return first;
}
