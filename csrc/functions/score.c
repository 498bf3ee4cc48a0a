/* score.c: what a row of logits says of its target: log-prob, rank, the best tokens, from one read of the row.
 *
 * fl_mass_run reads the row; all that follows works on group maxima, or on a row that lies in the cache by then. */
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "functions/shards.h"
#include "functions/top_k.h"
#include "rows/mass.h"
#include "rows/sort.h"

/* Log-prob of a logit of the row; exactly -log1p(rest) for the maximum. */
static double logprob_of(const fl_mass *m, double logit) {
    return (logit - m->top) / m->temperature - fl_log1p(m->rest);
}

/* 1 + number of values strictly greater than own. */
static int64_t rank_of(const fl_kernels *k, const fl_row *row, const float *gmax, double own) {
    int64_t above = 0;
    if (!row->wide) return 1 + k->row_reach[row->dtype](row->x, row->n, gmax, fl_float_after((float)own));
    for (int64_t i = 0; i < row->n; i++) above += row->wide[i] > own;
    return 1 + above;
}

/* The largest value but the first maximum: of the other groups, and of the maximum's own. */
static double second_of(const fl_kernels *k, const fl_row *row, const fl_mass *m) {
    int64_t block = m->at / FL_BLOCK * FL_BLOCK, lane = m->at % FL_LANES, group = block / FL_LANES + lane;
    double second = -(double)INFINITY;
    float kept = m->gmax[group];
    m->gmax[group] = -INFINITY;
    float image = k->row_max[FL_F32](m->gmax, fl_groups(row->n));
    if (image > -INFINITY) second = row->wide ? fl_wide_top(row, NULL, m->gmax, image) : (double)image;
    m->gmax[group] = kept;
    for (int64_t id = block + lane; id < row->n && id < block + FL_BLOCK; id += FL_LANES) {
        double v = fl_row_value(row, id);
        if (id != m->at && v > second) second = v;
    }
    return second;
}

/* The group maxima are a row whose own group maxima are the super-group maxima. */
static float floor_of(const fl_kernels *k, fl_scratch *s, const fl_row *row, const float *gmax, int64_t top,
                      fl_reached *known) {
    int64_t groups = fl_groups(row->n), supers = fl_supers(row->n);
    float *smax = fl_buffer(s, FL_BUF_SMAX, (size_t)(supers + fl_supers(groups)) * sizeof(float));
    if (smax) k->row_scan[FL_F32](gmax, groups, NULL, smax, smax + supers);
    return fl_row_floor(k, s, row, NULL, gmax, smax, top, known);
}

static int best_tokens(const fl_kernels *k, fl_scratch *s, const fl_row *row, const fl_mass *m, int64_t top,
                       int64_t *ids, double *logprobs) {
    fl_best best;
    fl_reached known = {.groups = -1};
    float floor = floor_of(k, s, row, m->gmax, top, &known);
    int status = fl_collect_best(k, s, row, m->gmax, floor, &known, top, &best);
    if (status) return status;
    int32_t *order = fl_buffer(s, FL_BUF_SLOTS, (size_t)best.count * sizeof(int32_t));
    if (!order || fl_sort_descending(k, s, best.values, best.count, order)) return FL_NO_MEMORY;
    for (int64_t i = 0; i < top; i++) {
        int there = i < best.count;
        ids[i] = there ? best.ids[order[i]] : -1;
        logprobs[i] = there ? logprob_of(m, best.values[order[i]]) : -(double)INFINITY;
    }
    return FL_OK;
}

static void entropies(const fl_kernels *k, const fl_row *row, fl_mass *m, const fl_scores *o, int64_t r) {
    double pair[2];
    if (!o->entropies && !o->varentropies) return;
    fl_mass_entropies(k, row, NULL, m, pair);
    if (o->entropies) o->entropies[r] = pair[0];
    if (o->varentropies) o->varentropies[r] = pair[1];
}

static int report(const fl_kernels *k, fl_scratch *s, const fl_row *row, fl_mass *m, const fl_scores *o, int64_t r,
                  int64_t target) {
    o->logprobs[r] = logprob_of(m, fl_row_value(row, target));
    if (o->ranks) o->ranks[r] = rank_of(k, row, m->gmax, o->levels ? o->levels[r] : fl_row_value(row, target));
    if (o->best) o->best[r] = m->at;
    if (o->rests) o->rests[r] = m->rest;
    if (o->logsumexps) o->logsumexps[r] = fl_mass_lse(m);
    if (o->margins) o->margins[r] = (m->top - second_of(k, row, m)) / m->temperature;
    for (int64_t i = 0; i < o->count; i++) {
        int64_t id = fl_peek(o->given + r * o->given_step + i);
        if (id < 0 || id >= row->n) return FL_CHANGED;
        o->given_logprobs[r * o->count + i] = logprob_of(m, fl_row_value(row, id));
    }
    entropies(k, row, m, o, r);
    if (!o->top_n) return FL_OK;
    return best_tokens(k, s, row, m, o->top_n, o->top_ids + r * o->top_n, o->top_logprobs + r * o->top_n);
}

static void nothing(const fl_scores *o, int64_t r) {
    double *figures[] = {o->logprobs, o->entropies, o->varentropies, o->logsumexps, o->margins, o->rests};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (figures[i]) figures[i][r] = (double)NAN;
    if (o->best) o->best[r] = -1;
    if (o->ranks) o->ranks[r] = -1;
    for (int64_t i = 0; i < o->count; i++) o->given_logprobs[r * o->count + i] = (double)NAN;
    for (int64_t i = 0; i < o->top_n; i++) {
        o->top_ids[r * o->top_n + i] = -1;
        o->top_logprobs[r * o->top_n + i] = (double)NAN;
    }
}

static int one_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_scores *o, int64_t r) {
    fl_row row;
    fl_mass m;
    int64_t target = fl_peek(o->targets + r);
    o->status[r] = target < x->n ? FL_OK : FL_CHANGED;
    if (target >= 0 && target < x->n) {
        double t = o->temperature.at[r * o->temperature.step];
        int keep = o->entropies || o->varentropies ? FL_KEEP_MOMENTS : 0;
        if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
        int status = fl_mass_run(k, s, &row, NULL, t, -FLT_MAX, keep, &m);
        if (!status) status = report(k, s, &row, &m, o, r, target);
        if (!status && o->whole.guesses) status = fl_shard_sums(k, s, x, r, &o->whole, t);
        if (!status || status == FL_NO_MEMORY) return status;
        o->status[r] = status;
    }
    nothing(o, r);
    return FL_OK;
}

int fl_score(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_scores *o, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) status = one_row(k, s, x, o, r);
    fl_env_leave(saved);
    return status;
}
