/* plan.c: what a plan needs of a row: which pass, which floor, which steps on the list.
 *
 * Order of work: edits beside the row -> one dense pass -> floor -> collect -> the steps one by one on the short list ->
 * end. The list is a prefix of all tokens sorted by (logit, id) that holds everything the first cuts keep. A later rank
 * or ratio cut may lower it beforehand only if no mass computed in between would notice: before the first mass step, or
 * behind it when it is the plan's only mass step and nothing was cut before. Edits are a barrier. */
#include "plan/job.h"

static int is_mass_step(const fl_step_values *v) {
    return v->op == FL_OP_top_p || (v->flags & FL_JOINT && v->op == FL_OP_top_k);
}

/* Plans with cuts by mass from the full row need the exponential pass. */
static int starts_with_mass(const fl_program *p) { return p->head < p->count && is_mass_step(&p->at[p->head]); }

static int bans(const fl_step_values *v) {
    int banned = v->words != NULL;
    for (int64_t i = 0; !banned && v->values && i < v->entries; i++) banned = v->values[i] < -DBL_MAX;
    return banned && v->kind == FL_EDIT;
}

int fl_fail(fl_job *j, int status, int32_t step, double value) {
    j->where = (fl_where){.status = status, .step = step, .row = j->r, .value = value};
    for (int32_t i = 0; status == FL_ALL_BANNED && i < j->program.count && j->program.at[i].index <= step; i++)
        j->where.banned |= (uint64_t)bans(&j->program.at[i]) << j->program.at[i].index;
    return status;
}

static int32_t last_edit(const fl_job *j) {
    int32_t last = -1;
    for (int32_t i = 0; i < j->program.head; i++)
        if (j->program.at[i].kind == FL_EDIT) last = j->program.at[i].index;
    return last;
}

/* The largest logit behind the head, from the largest live value; fails where there is none or it overflows. */
int fl_set_top(fl_job *j, double live_top) {
    double edited = j->k->list_max(j->edits.logit, j->edits.n), value = live_top;
    for (int32_t i = 0; i < j->program.head; i++) {
        if (j->program.at[i].op != FL_OP_temperature) continue;
        value /= j->program.at[i].value;
        if (value > DBL_MAX) return fl_fail(j, FL_STEP_INF, j->program.at[i].index, value);
    }
    j->top = value > edited ? value : edited;
    if (j->top > DBL_MAX && !j->row.blend) return fl_fail(j, FL_CHANGED, -1, 0); /* the row holds no +inf any longer */
    if (j->top >= -DBL_MAX) return FL_OK;
    if (j->parts_n && j->row.blend) return fl_blend_fault(j, FL_ALL_BANNED);
    int raw = j->k->row_count[j->row.dtype](j->row.x, j->row.n, NULL, -FLT_MAX) > 0;
    if (!raw && j->parts_n) return fl_blend_fault(j, FL_ALL_BANNED);
    return raw ? fl_fail(j, FL_ALL_BANNED, last_edit(j), 0) : fl_fail(j, FL_NO_FINITE, -1, 0);
}

/* The highest floor that the rank and ratio cuts from step `from` on allow, and how many values equal to it can matter.
 * Stops at edits and at mass steps. */
static float early_floor(fl_job *j, int32_t from, int64_t *equals) {
    const fl_program *p = &j->program;
    float floor = -FLT_MAX;
    double between = 1.0;
    int smoothed = 0;
    *equals = INT64_MAX;
    for (int32_t i = from; i < p->count; i++) {
        const fl_step_values *v = &p->at[i];
        float own = -FLT_MAX;
        int64_t ties = INT64_MAX;
        if (v->kind == FL_EDIT || (is_mass_step(v) && i > p->head) || fl_is_shaped(v)) break;
        if (v->op == FL_OP_temperature) {
            between *= v->value;
        } else if (v->op == FL_OP_smoothing) {
            smoothed = 1;
        } else if (smoothed && (v->op == FL_OP_min_p || v->resolved)) {
            continue; /* its floor is one of mapped logits */
        } else if (v->op == FL_OP_min_p || v->resolved) {
            /* The margin covers the operands too, which may cancel. */
            double drop = v->resolved ? v->floor - j->top : between * fl_log(v->value);
            double slack = (fabs(j->top) + fabs(drop)) * 0x1p-40;
            own = fl_value_below(j, j->top + drop - slack);
            if (v->min_keep > 1) {
                float kept = fl_job_floor(j, v->min_keep);
                own = kept < own ? kept : own;
            }
        } else {
            int64_t rank = v->op == FL_OP_greedy ? 1 : v->op == FL_OP_top_h ? 100 : (int64_t)v->value;
            rank = v->op != FL_OP_greedy && v->min_keep > rank ? v->min_keep : rank;
            own = fl_job_floor(j, rank);
            if (smoothed) /* what lies next to it may become equal */
                own = own > -FLT_MAX ? fl_value_below(j, fl_head_value(p, (double)own)) : own;
            else if (!(v->flags & FL_TIES_KEEP))
                ties = rank;
        }
        if (own > floor || (own == floor && ties < *equals)) *equals = ties;
        floor = own > floor ? own : floor;
        if (v->op == FL_OP_top_h) break; /* it weighs all of its 100 */
    }
    return floor;
}

static int has_joint(const fl_program *p) {
    for (int32_t i = p->head; i < p->count; i++)
        if (p->at[i].flags & FL_JOINT) return 1;
    return 0;
}

/* Whether the end can work without a list. Cuts of double rows always list. */
static int dense_end(const fl_job *j) {
    const fl_results *o = j->out;
    int more = o->listing || o->probs || o->logits || o->logprobs || o->ranks || o->top_n || o->raw_logprobs;
    if (j->row.blend && more) return 0; /* their floats are near their values, no more */
    return !j->out->listing && !(j->row.wide && j->program.head < j->program.count);
}

int fl_run_list(fl_job *j) {
    j->list.partial = 0;
    return fl_run_rest(j, j->program.head);
}

int fl_run_rest(fl_job *j, int32_t from) {
    fl_cands *c = &j->list;
    if (!c->n) return fl_fail(j, FL_CHANGED, -1, 0); /* the top of the row has gone */
    if (has_joint(&j->program)) {
        c->joint = fl_buffer(j->s, FL_BUF_JOINT, (size_t)(c->raw + 1) * sizeof(double));
        if (!c->joint) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    }
    if (j->observed && j->program.shares) {
        c->shares = fl_buffer(j->s, FL_BUF_SHARES, (size_t)(c->raw * j->program.shares) * sizeof(double));
        if (!c->shares) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    }
    for (int32_t i = from; i < j->program.count; i++) {
        c->more = c->partial = 0;
        int status = fl_cands_step(c, &j->program.at[i]);
        if (status) return fl_fail(j, status, j->program.at[i].index, 0);
    }
    return fl_end_list(j);
}

int fl_scan_row(fl_job *j) { return fl_scan_spread(j, 0, NULL); }

int fl_scan_spread(fl_job *j, float centre, double *spread) {
    const fl_row *row = &j->row;
    j->gmax = fl_buffer(j->s, FL_BUF_GMAX, (size_t)fl_groups(row->n) * sizeof(float));
    j->smax = fl_buffer(j->s, FL_BUF_SMAX, (size_t)fl_supers(row->n) * sizeof(float));
    j->reached.groups = -1;
    if (!j->gmax || !j->smax) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (row->blend && row->x && fl_blend_settle(j)) return j->where.status;
    if (row->blend) {
        j->trace.passes++;
        if (fl_blend_scan(j)) return fl_set_top(j, fl_blend_top(j, j->k->row_max[FL_F32](j->smax, fl_supers(row->n))));
        int status = fl_blend_settle(j);
        if (status) return status;
    }
    uint32_t bad = row->bad;
    if (spread)
        bad |= j->k->row_spread[row->dtype](row->x, row->n, j->live, centre, j->gmax, j->smax, spread);
    else
        bad |= j->k->row_scan[row->dtype](row->x, row->n, j->live, j->gmax, j->smax);
    float top = j->k->row_max[FL_F32](j->smax, fl_supers(row->n));
    j->trace.passes++;
    int fault = bad || top > FLT_MAX ? fl_row_fault(row) : FL_OK;
    if (fault) return fl_fail(j, fault, -1, 0);
    return fl_set_top(j, row->wide ? fl_wide_top(row, j->live, j->gmax, top) : (double)top);
}

/* Only ratio cuts, each with min_keep 1, and far more survivors than a list is good for: a cut by value. */
static int ratio_only(const fl_job *j) {
    for (int32_t i = j->program.head; i < j->program.count; i++)
        if ((j->program.at[i].op != FL_OP_min_p && !j->program.at[i].resolved) || j->program.at[i].min_keep > 1)
            return 0;
    return dense_end(j) && j->program.head < j->program.count;
}

/* Masses count from the shift as the plan's temperatures, one after the other, make it. */
void fl_set_base(fl_job *j, fl_mass *m) {
    if (!m->gsum64) return;
    m->base = fl_head_value(&j->program, m->args64.shift);
    j->trace.mode |= 256;
}

/* Whether the group maxima suffice for what is wanted of unlisted survivors. */
static int gumbel_alone(const fl_job *j) {
    const fl_results *o = j->out;
    return j->gumbel && !j->parts_n && o->ids && fl_only_ids(j) && !o->probs && !o->logits && !o->listing;
}

/* A status, or -1 where an edited token is so far above the row that masses leave the range: list instead. */
static int run_ratio_dense(fl_job *j) {
    fl_dense d = {.cut_id = INT64_MAX, .cut_logit = -(double)INFINITY};
    for (int32_t i = j->program.head; i < j->program.count; i++) {
        const fl_step_values *v = &j->program.at[i];
        double floor = v->resolved ? v->floor : j->top + fl_log(v->value);
        d.cut_logit = floor > d.cut_logit ? floor : d.cut_logit;
    }
    d.low = d.high = fl_exact_value(j, d.cut_logit, 0);
    j->trace.mode = 3;
    if (gumbel_alone(j)) return fl_end_dense(j, &d);
    if (fl_dense_uniform(j, &d)) return fl_end_dense(j, &d);
    int status, again = j->known && !j->out->probs && d.high == -FLT_MAX;
    if (again) d.mass = *j->known;
    status = again ? fl_mass_again(j->k, j->s, &j->row, j->live, j->program.temperature, &d.mass)
                   : fl_mass_run(j->k, j->s, &j->row, j->live, j->program.temperature, d.high, j->out->probs != NULL,
                                 &d.mass);
    j->trace.passes += (int32_t)d.mass.passes;
    if (status) return fl_fail(j, status, -1, 0);
    fl_set_base(j, &d.mass);
    if (fl_edited_masses(j) || fl_dense_sums(j, &d)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return d.total > 0 && d.total < DBL_MAX ? fl_end_dense(j, &d) : -1;
}

/* Few candidates known from one scan: ranks and ratios before any mass. */
int fl_run_floor(fl_job *j) {
    int64_t equals = INT64_MAX;
    int status = j->gmax ? FL_OK : fl_scan_row(j);
    if (status) return status;
    /* A first step by mass comes here where no live token is finite: it needs all the edited ones. */
    int all = starts_with_mass(&j->program);
    float floor = all ? -FLT_MAX : early_floor(j, j->program.head, &equals);
    int many = ratio_only(j) && fl_groups_reach(j->k, j->gmax, fl_groups(j->row.n), floor, &j->reached) > 1024;
    int64_t most = fl_groups(j->row.n) / 8;
    if (j->row.blend && (many || fl_groups_reach(j->k, j->gmax, fl_groups(j->row.n), floor, &j->reached) > most + 64)) {
        status = fl_blend_settle(j);
        j->gmax = NULL;
        return status ? status : fl_run_floor(j);
    }
    if (many) {
        status = run_ratio_dense(j);
        if (status >= 0) return status;
    }
    j->trace.mode = 1;
    status = fl_collect(j, floor, equals);
    return status ? status : fl_run_list(j);
}

enum { MOST_GUESSES = 32 };

/* Lists a nucleus small enough for it, min_keep tokens at least: 1 if listed, 0 if not, else -1 after a failure. */
static int list_nucleus(fl_job *j, const fl_mass *m, const fl_step_values *v, double target) {
    float floor, kept = v->min_keep > 1 ? fl_job_floor(j, v->min_keep) : FLT_MAX;
    int found = fl_nucleus_floor(j, m, target, &floor);
    for (int guess = 0; found && guess < MOST_GUESSES; guess++) {
        if (fl_collect(j, kept < floor ? kept : floor, INT64_MAX)) return -1;
        if (found == FL_FLOOR_SURE || (j->list.n && fl_cands_total(&j->list) >= target)) return 1;
        found = fl_nucleus_lower(j, m, &floor) ? FL_FLOOR_GUESSED : 0;
    }
    return 0;
}

/* The cuts behind the exponential pass d->mass; total in units of exp(top). alone: one top-p step, and the end needs no
 * list. */
static int run_mass_cuts(fl_job *j, fl_dense *d, double total, int alone) {
    const fl_program *p = &j->program;
    const fl_step_values *first = &p->at[p->head];
    int64_t equals = INT64_MAX;
    float early = early_floor(j, first->op == FL_OP_top_p ? p->head + 1 : p->head, &equals);
    int listed = 0, status;
    if (first->op == FL_OP_top_p && early == -FLT_MAX && first->min_keep <= 256) {
        listed = list_nucleus(j, &d->mass, first, fl_target(first, total));
        if (listed < 0) return j->where.status;
        if (!listed && alone && first->min_keep == 1 && d->mass.e) {
            status = fl_nucleus_cut(j, fl_target(first, total), d);
            if (status == FL_OK) j->trace.mode = 3;
            if (status != -1) return status ? fl_fail(j, status, -1, 0) : fl_end_dense(j, d);
        }
    }
    if (!listed && j->row.blend && early == -FLT_MAX) {
        status = fl_blend_settle(j);
        return status ? status : fl_run_all(j);
    }
    if (!listed) {
        status = fl_collect(j, early, equals);
        if (status) return status;
    }
    j->list.total = total;
    return fl_run_list(j);
}

/* The exponential pass; a row whose live tokens are all -inf has the edited ones alone. */
static int run_mass(fl_job *j) {
    const fl_program *p = &j->program;
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX, .low = -FLT_MAX, .high = -FLT_MAX};
    int cuts = p->head < p->count, alone = p->count == p->head + 1 && !has_joint(p) && dense_end(j);
    int keep_e = (!cuts && j->out->probs) || (alone && !j->row.wide);
    int status, again = !keep_e && j->known && j->known->temperature > 0;
    if (again) d.mass = *j->known;
    status = again ? fl_mass_again(j->k, j->s, &j->row, j->live, p->temperature, &d.mass)
                   : fl_mass_run(j->k, j->s, &j->row, j->live, p->temperature, -FLT_MAX, keep_e, &d.mass);
    j->trace.passes += (int32_t)d.mass.passes;
    j->trace.mode = cuts ? 2 : 0;
    if (status && status != FL_NO_FINITE) return fl_fail(j, status, -1, 0);
    if (status == FL_NO_FINITE) return fl_run_floor(j);
    j->gmax = d.mass.gmax;
    j->reached.groups = -1;
    fl_set_base(j, &d.mass);
    status = fl_set_top(j, j->row.blend ? fl_blend_top(j, (float)d.mass.top) : d.mass.top);
    if (status) return status;
    if (!cuts) {
        if (fl_edited_masses(j) || fl_dense_sums(j, &d)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
        return d.total > 0 && d.total < DBL_MAX ? fl_end_dense(j, &d) : fl_run_floor(j);
    }
    if (fl_edited_masses(j)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    double total = fl_exp(fl_head_value(p, d.mass.top) - j->top) * (1.0 + d.mass.rest) + j->edited_total;
    return run_mass_cuts(j, &d, total, alone);
}

enum { FEW, FLOATS, DOUBLES };

/* What a combination of rows becomes: nothing where few tokens are kept, its nearest floats where masses are summed to draw
 * or to cut, doubles elsewhere. */
static int form_of(const fl_job *j) {
    const fl_program *p = &j->program;
    if (p->head == p->count) return dense_end(j) ? FLOATS : DOUBLES;
    const fl_step_values *first = &p->at[p->head];
    if (!fl_is_shaped(first) && !starts_with_mass(p)) return FEW;
    return first->op == FL_OP_top_p && first->min_keep == 1 && !has_joint(p) ? FLOATS : DOUBLES;
}

/* Gumbel-max over all tokens, from one scan. */
static int run_gumbel(fl_job *j) {
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX};
    int status = fl_scan_row(j);
    return status ? status : fl_end_dense(j, &d);
}

int fl_run_all(fl_job *j) {
    int64_t n = j->row.n;
    int form = j->row.blend ? form_of(j) : FEW;
    if (form == FLOATS) fl_blend_center(j);
    if (j->program.edits) {
        fl_where where = {0};
        where.step = -1;
        int status = fl_edits_open(j->s, &j->program, &j->row, &j->edits, &j->live, &where);
        if (status && j->parts_n && (status == FL_NAN || status == FL_POS_INF)) return fl_blend_fault(j, FL_STEP_INF);
        if (status) return fl_fail(j, status, where.step, where.value);
        j->trace.edited = j->edits.n;
    }
    if (n == 0) return fl_fail(j, FL_NO_FINITE, -1, 0);
    int cuts = j->program.head < j->program.count;
    if (form != FEW && !(form == FLOATS && fl_blend_image(j)) && fl_blend_settle(j)) return j->where.status;
    if (cuts && fl_is_shaped(&j->program.at[j->program.head])) return fl_run_shaped(j);
    if (!cuts && gumbel_alone(j)) return run_gumbel(j);
    if (cuts ? starts_with_mass(&j->program) : dense_end(j)) return run_mass(j);
    if (cuts && j->program.at[j->program.head].op == FL_OP_smoothing && j->program.count == j->program.head + 1) {
        int status = dense_end(j) ? fl_run_smoothing(j) : -1;
        if (status >= 0) return status;
    }
    return fl_run_floor(j);
}
