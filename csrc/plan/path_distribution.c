/* path_distribution.c: a plan whose first step behind the head asks something of all survivors. One dense pass answers; the step then
 * becomes a simpler one (a threshold, a temperature, banned tokens), or works on a list that is long enough for it. */
#include <float.h>
#include <math.h>

#include "base/math.h"
#include "plan/collect.h"
#include "plan/nucleus.h"
#include "plan/paths.h"
#include "plan/run_list.h"
#include "plan/scan.h"
#include "plan/survivors.h"
#include "plan/typical_band.h"

/* The exponential pass and what it tells. FL_OK, FL_AGAIN where a list of everything must serve, or a failure. */
static int ask_mass(fl_job *j, int32_t needs, int keep, fl_mass *m, fl_shape *s) {
    const fl_program *p = &j->program;
    int status = fl_mass_run(j->k, j->s, &j->row, j->live, p->temperature, -FLT_MAX, keep, m);
    j->trace.passes += (int32_t)m->passes;
    if (status == FL_NO_FINITE) return FL_AGAIN;
    if (status) return fl_fail(j, status, -1, 0);
    j->gmax = m->gmax;
    j->smax = NULL;
    j->reached.groups = -1;
    fl_set_base(j, m);
    status = fl_set_top(j, m->top);
    if (status) return status;
    if (fl_edited_masses(j)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    double drop = fl_head_value(p, m->top) - j->top, live = fl_exp(drop) * (1.0 + m->rest);
    s->top = j->top;
    s->total = live + j->edited_total;
    if ((needs & FL_NEEDS_ENTROPY) != FL_NEEDS_ENTROPY) return FL_OK;
    /* H = ln Z - sum m (l - top) / Z; of the live tokens alone the mean of l - top is drop + ln(1 + rest) - H. */
    double entropy = fl_mass_entropy(j->k, &j->row, j->live, m);
    double sum = live > 0 ? live * (drop + fl_log1p(m->rest) - entropy) : 0;
    for (int64_t i = 0; i < j->edits.n; i++)
        if (j->edited_mass[i] > 0) sum += j->edited_mass[i] * (j->edits.logit[i] - j->top);
    s->entropy = fl_log(s->total) - sum / s->total;
    if (s->entropy < 0) s->entropy = 0;
    return FL_OK;
}

/* sum p^k of all survivors but for the division by total^k: one more pass at T / k. */
static int ask_power(fl_job *j, double order, fl_mass *m, fl_shape *s) {
    double t = j->program.temperature;
    int status = fl_mass_again(j->k, j->s, &j->row, j->live, t / order, m);
    j->trace.passes += (int32_t)m->passes;
    if (status) return fl_fail(j, status, -1, 0);
    s->power = fl_exp(order * (fl_head_value(&j->program, m->top) - j->top)) * (1.0 + m->rest);
    for (int64_t i = 0; i < j->edits.n; i++) s->power += fl_exp(order * (j->edits.logit[i] - j->top));
    return FL_OK;
}

/* The spread of the live finite values one by one, around centre: number, sum d, sum d^2, least. */
static void slow_spread(const fl_job *j, double centre, double *out) {
    out[0] = out[1] = out[2] = 0;
    out[3] = (double)INFINITY;
    for (int64_t id = 0; id < j->row.n; id++) {
        double v = fl_row_value(&j->row, id), d = v - centre;
        if (!(v >= -DBL_MAX) || !fl_is_live(j->live, id)) continue;
        out[0] += 1;
        out[1] += d;
        out[2] += d * d;
        out[3] = v < out[3] ? v : out[3];
    }
}

/* Mean of a few live finite values spread over the row. */
static double middle_of(const fl_job *j) {
    int64_t step = j->row.n / 64 + 1;
    double sum = 0, count = 0;
    for (int64_t id = 0; id < j->row.n; id += step) {
        double v = fl_row_value(&j->row, id);
        if (!(fabs(v) <= 1e30) || !fl_is_live(j->live, id)) continue;
        sum += v;
        count += 1;
    }
    return count > 0 ? sum / count : 0;
}

enum { CANCEL = 16 }; /* by how much the square of the mean may exceed the variance before the pass is made anew */

/* Deviation and least of the survivors' logits, and the maxima, from one scan. */
static int ask_spread(fl_job *j, fl_shape *s) {
    const fl_row *row = &j->row;
    double out[4], centre = (double)(float)middle_of(j), t = j->program.temperature;
    int status = fl_scan_spread(j, (float)centre, row->wide ? NULL : out);
    if (status) return status;
    for (int again = 0; again < 3; again++) {
        if (row->wide || again == 2)
            slow_spread(j, centre, out);
        else if (again)
            j->k->row_spread[row->dtype](row->x, row->n, j->live, (float)centre, j->gmax, j->smax, out);
        j->trace.passes += row->wide || again;
        double mean = out[0] > 0 ? out[1] / out[0] : 0, square = out[0] > 0 ? out[2] / out[0] : 0;
        double near = mean * mean <= CANCEL * (square - mean * mean) ? 0.0 : mean * mean;
        /* Squares of floats may have underflowed. */
        int lost = !row->wide && square < 0x1p-100 && (out[1] != 0 || out[3] != centre);
        if (!lost && square <= DBL_MAX && near <= 0x1p-42 * centre * centre) break; /* no float lies between */
        centre = fabs(mean) <= 1e30 ? centre + mean : 0;
        centre = row->wide || again == 1 ? centre : (double)(float)centre;
    }
    /* Around c, in units behind the head: the live values' moments and those of the edited tokens together. */
    double count = out[0], first = out[1] / t, second = out[2] / t / t, at = fl_head_value(&j->program, centre);
    s->least = fl_head_value(&j->program, out[3]);
    for (int64_t i = 0; i < j->edits.n; i++) {
        double l = j->edits.logit[i], d = l - at;
        if (!(l >= -DBL_MAX)) continue;
        count += 1;
        first += d;
        second += d * d;
        s->least = l < s->least ? l : s->least;
    }
    double mean = first / count, variance = second / count - mean * mean;
    s->deviation = variance > 0 ? fl_exp(0.5 * fl_log(variance)) : 0;
    s->top = j->top;
    return FL_OK;
}

static int64_t alive_of(const fl_job *j, const fl_mass *m) {
    const fl_row *row = &j->row;
    int64_t alive = m->full ? row->n : j->k->row_count[row->dtype](row->x, row->n, j->live, -FLT_MAX);
    for (int64_t i = 0; i < j->edits.n; i++) alive += j->edits.logit[i] >= -DBL_MAX;
    return alive;
}

enum { MOST_TURNS = 32 }; /* then everything is listed */

/* Lists what reaches the floor and runs the plan on it; the first step may send for more. */
static int list_from(fl_job *j, const fl_shape *s, float floor) {
    const fl_step_values *v = &j->program.at[j->program.head];
    fl_cands *c = &j->list;
    j->trace.mode = 2;
    double drop = 1.0;
    for (int turn = 1;; turn++, drop *= 1.5) {
        int status = fl_collect(j, floor, INT64_MAX);
        if (status) return status;
        c->total = v->needs & FL_NEEDS_MASS ? s->total : 0;
        c->entropy = s->entropy;
        c->least = s->least;
        c->partial = floor > -FLT_MAX;
        status = c->n ? fl_cands_step(c, v) : FL_OK;
        if (status) return fl_fail(j, status, v->index, 0);
        if (c->n && !c->more) return fl_run_rest(j, j->program.head + 1);
        if (floor == -FLT_MAX) return fl_fail(j, FL_NO_FINITE, -1, 0);
        double lower = fl_head_value(&j->program, (double)floor) - drop;
        float next = fl_value_below(j, c->reach > 0 ? c->logit[0] + fl_log(c->reach) : lower);
        if (next >= floor) { /* what was asked for is listed already, up to a gap behind it: far down, ever faster */
            next = fl_value_below(j, lower);
            drop *= 8;
        }
        floor = next;
        int most = j->k->count_ge(j->gmax, fl_groups(j->row.n), floor) * 4 > 3 * fl_groups(j->row.n);
        if (most || turn == MOST_TURNS) floor = -FLT_MAX;
    }
}

/* xtc: the tokens above its threshold, all of them but the last, become banned ones. */
static int resolve_xtc(fl_job *j, const fl_mass *m, const fl_shape *s) {
    fl_step_values *v = &j->program.at[j->program.head];
    fl_cands *c = &j->list;
    int64_t removed = 0;
    if (v->u < v->value && v->second <= 0.5) {
        double slack = (fabs(s->top) + 1.0) * 0x1p-30, floor = s->top + fl_log(v->second * s->total);
        int status = fl_collect(j, v->second > 0 ? fl_value_below(j, floor - slack) : -FLT_MAX, INT64_MAX);
        if (status) return status;
        c->total = s->total;
        removed = fl_xtc_removed(c, v, v->min_keep > 1 ? alive_of(j, m) : j->row.n, c->order);
    }
    int64_t *ids = fl_buffer(j->s, FL_BUF_BANNED, (size_t)(removed + 1) * (sizeof(int64_t) + sizeof(double)));
    if (!ids) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    double *values = (double *)(void *)(ids + removed + 1);
    int64_t n = 0;
    for (int64_t i = 0; n < removed; i++) {
        if (c->order[i]) continue;
        values[n] = -(double)INFINITY;
        ids[n++] = c->id[i];
    }
    j->banned = 1;
    *v = (fl_step_values){.op = FL_OP_logit_bias, .kind = FL_EDIT, .index = v->index};
    v->ids = ids;
    v->values = values;
    v->entries = removed;
    return FL_OK;
}

/* The plan has become simpler; what is known of the live tokens stays unless more of them are edited. */
static int start_again(fl_job *j) {
    int32_t edits = j->program.edits;
    j->gmax = NULL;
    j->opened = 0;
    fl_program_head(&j->program);
    if (j->program.edits != edits) j->known = NULL;
    return FL_AGAIN;
}

/* The rest of the plan on what is alive: the step has done its work. */
static int only_rest(fl_job *j, const fl_mass *m) {
    fl_step_values *v = &j->program.at[j->program.head];
    *v = (fl_step_values){.op = FL_OP_epsilon_cutoff, .kind = FL_CUT, .index = v->index, .resolved = 1, .min_keep = 1};
    v->floor = -DBL_MAX;
    int status = fl_scan_row(j);
    if (status) return status;
    j->held = *m;
    j->held.top = (double)j->k->row_max[FL_F32](j->smax, fl_supers(j->row.n));
    j->held.at = j->held.top < -DBL_MAX ? -1 : fl_first_equal(j->k, &j->row, j->live, j->gmax, j->held.top);
    j->known = j->held.at < 0 ? NULL : &j->held;
    return FL_AGAIN;
}

/* The pass that the step asks for. FL_OK, FL_AGAIN where a list of everything must serve, or a failure. */
static int ask(fl_job *j, const fl_step_values *v, fl_mass *m, fl_shape *s) {
    int status = fl_row_pack(j->s, j->k, &j->row) ? fl_fail(j, FL_NO_MEMORY, -1, 0) : FL_OK;
    if (status) return status;
    if (v->needs & FL_NEEDS_MASS)
        status = ask_mass(j, v->needs, v->op == FL_OP_typical_p ? FL_KEEP_MEAN | FL_KEEP_E : FL_KEEP_MEAN, m, s);
    else if (v->needs & FL_NEEDS_SPREAD)
        status = ask_spread(j, s);
    else
        status = fl_scan_row(j);
    s->top = j->top;
    if (status || v->needs & FL_NEEDS_LIST) return status ? status : FL_AGAIN;
    return v->op == FL_OP_xtc && j->banned ? FL_AGAIN : FL_OK; /* there is room for the tokens of one */
}

/* typical_p: on a list, or as the band of logits that it keeps. */
static int run_typical(fl_job *j, const fl_mass *m, const fl_shape *s) {
    fl_step_values *v = &j->program.at[j->program.head];
    float floor;
    if (fl_nucleus_floor(j, m, fl_target(v, s->total), &floor)) return list_from(j, s, floor);
    int status = fl_typical_band(j, m, s, v);
    if (status < 0) return fl_refuse(j, FL_PATH_DISTRIBUTION);
    return status ? fl_fail(j, status, -1, 0) : only_rest(j, m);
}

/* A step that keeps what reaches a threshold becomes that threshold. */
static int resolve_floor(fl_job *j, const fl_shape *s) {
    fl_step_values *v = &j->program.at[j->program.head];
    v->floor = fl_floor_of_step(s, v);
    v->resolved = 1;
    if (v->floor > j->top) /* nothing reaches it: the first max(1, min_keep) stay */
        *v = (fl_step_values){.op = FL_OP_top_k,
                              .kind = FL_CUT,
                              .index = v->index,
                              .value = 1,
                              .min_keep = v->min_keep,
                              .hears = v->hears};
    return FL_AGAIN;
}

static int resolve_temperature(fl_job *j, const fl_mass *m, fl_shape *s) {
    fl_step_values *v = &j->program.at[j->program.head];
    s->alive = alive_of(j, m);
    v->value = fl_dynamic_temperature(s, v);
    v->op = FL_OP_temperature;
    v->needs = 0;
    j->held = *m;
    j->known = &j->held;
    return start_again(j);
}

int fl_run_distribution(fl_job *j) {
    const fl_step_values *v = &j->program.at[j->program.head];
    fl_shape s = {0};
    fl_mass m;
    int status = ask(j, v, &m, &s);
    if (status) return status == FL_AGAIN ? fl_refuse(j, FL_PATH_DISTRIBUTION) : status;
    if (v->needs & FL_NEEDS_PREFIX) return list_from(j, &s, fl_job_floor(j, v->needs & FL_NEEDS_SPREAD ? 64 : 256));
    switch (v->op) {
    case FL_OP_typical_p: return run_typical(j, &m, &s);
    case FL_OP_xtc: status = resolve_xtc(j, &m, &s); return status ? status : start_again(j);
    case FL_OP_dynamic_temperature: return resolve_temperature(j, &m, &s);
    case FL_OP_p_less: status = ask_power(j, v->value, &m, &s); break;
    default: break;
    }
    return status ? status : resolve_floor(j, &s);
}
