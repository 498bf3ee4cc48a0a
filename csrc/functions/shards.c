/* shards.c: rows whose tokens are spread over several places, each with a part of the row.
 *
 * Without more, a shard tells its top and the mass of its rest, and masses are moved to the unit of the whole. Where the
 * peaks of the whole row are known to all, shards sum in the unit of the whole row, and the sums of all groups are added
 * as if they came from one read: where every shard begins with a block, the bits are those of the whole row. */
#include "functions/shards.h"
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "rows/mass.h"

/* Whether fl_mass_run sums a row with this top in double. */
static int in_doubles(int32_t dtype, double top, double t) {
    return dtype == FL_F64 || t < 1e-12 || t > 1e12 || !(fabs(top) / t < 1e5);
}

/* The exponent at which fl_mass_run ends: that of the guess, unless it lies far from the top's. */
static int64_t float_exponent(double guess, double top, double t) {
    int64_t first = fl_exponent_of(fabs(guess) / t < 1e5 ? guess : 0, t) - 8, own = fl_exponent_of(top, t);
    return own - first >= 6 && own - first <= 60 ? first : own - 8;
}

static int float_sums(const fl_kernels *k, fl_scratch *s, const fl_row *row, const fl_whole *whole, int64_t r,
                      double t) {
    int64_t groups = whole->groups;
    float *gmax = fl_buffer(s, FL_BUF_GMAX, (size_t)groups * sizeof(float));
    float *gsum = fl_buffer(s, FL_BUF_GSUM, (size_t)groups * sizeof(float));
    if (!gmax || !gsum) return FL_NO_MEMORY;
    fl_exp_args args = fl_exp_args_of(t, float_exponent(whole->guesses[r], whole->tops[r], t));
    k->row_sumexp[row->dtype](row->x, row->n, NULL, &args, gmax, gsum, NULL);
    if (whole->sums) memcpy(whole->sums + r * groups, gsum, (size_t)groups * sizeof(float));
    for (int64_t g = 0; g < groups && whole->sums64; g++) whole->sums64[r * 2 * groups + g] = (double)gsum[g];
    return FL_OK;
}

int fl_shard_sums(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, const fl_whole *whole, double t) {
    fl_row row;
    if (!(fabs(whole->tops[r]) <= DBL_MAX)) return FL_OK;
    if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
    if (!in_doubles(x->dtype, whole->tops[r], t)) return float_sums(k, s, &row, whole, r, t);
    if (!row.wide && fl_row_widen(s, k, &row)) return FL_NO_MEMORY;
    fl_mass m = {.temperature = t, .top = whole->tops[r], .cut = -FLT_MAX};
    fl_mass_in_doubles(&m);
    if (whole->sums64) k->f64_sumexp(row.wide, row.n, NULL, &m.args64, whole->sums64 + r * 2 * whole->groups, NULL);
    return FL_OK;
}

/* The mass of a row but its top, in units of the top, from the sums of all groups. */
static int rest_of_sums(const fl_kernels *k, fl_scratch *s, const fl_merging *a, int64_t r, double t, double *rest) {
    int64_t groups = a->whole.groups, count = 0;
    double values[FL_LANES];
    fl_mass m = {.temperature = t, .top = a->whole.tops[r], .cut = -FLT_MAX};
    for (int64_t i = 0; i < FL_LANES; i++)
        if (a->beside[r * FL_LANES + i] >= (double)m.cut) values[count++] = a->beside[r * FL_LANES + i];
    if (a->whole.sums64 && in_doubles(a->dtype, m.top, t)) {
        m.gsum64 = a->whole.sums64 + r * 2 * groups;
        fl_mass_in_doubles(&m);
        fl_mass_rest_of_doubles(k, &m, groups, a->own[r], values, count);
    } else {
        m.exponent = float_exponent(a->whole.guesses[r], m.top, t);
        m.gsum = fl_buffer(s, FL_BUF_GSUM, (size_t)groups * sizeof(float));
        if (!m.gsum) return FL_NO_MEMORY;
        for (int64_t g = 0; g < groups; g++)
            m.gsum[g] = a->whole.sums ? a->whole.sums[r * groups + g] : (float)a->whole.sums64[r * 2 * groups + g];
        fl_mass_rest_of_floats(k, &m, groups, a->own[r], values, count);
    }
    *rest = m.rest;
    return FL_OK;
}

/* The same from the tops and rests of the shards. */
static int rest_of_pairs(fl_scratch *s, const fl_merging *a, int64_t r, double t, double *rest) {
    const double *tops = a->tops + r * a->shards, *rests = a->rests + r * a->shards;
    double top = a->whole.tops[r], low;
    int first = 1;
    double *masses = fl_buffer(s, FL_BUF_SUMS, (size_t)a->shards * sizeof(double));
    if (!masses) return FL_NO_MEMORY;
    for (int64_t i = 0; i < a->shards; i++) {
        int best = first && tops[i] == top;
        first = first && !best;
        if (best)
            masses[i] = rests[i];
        else
            masses[i] = tops[i] < -DBL_MAX ? 0 : fl_exp((tops[i] - top) / t) * (1 + rests[i]);
    }
    *rest = fl_sum(masses, a->shards, &low);
    return FL_OK;
}

/* -log p of a token is that within its shard plus that of the shard, `apart`; means and variances by the law of total
 * variance. */
static void merge_entropies(const fl_merging *a, int64_t r, double t) {
    double mean = 0, spread = 0;
    for (int pass = 0; pass < (a->whole_varentropies ? 2 : 1); pass++)
        for (int64_t i = r * a->shards; i < (r + 1) * a->shards; i++) {
            if (a->tops[i] < -DBL_MAX) continue;
            double apart = (a->whole.tops[r] - a->tops[i]) / t + (a->tails[r] - fl_log1p(a->rests[i]));
            apart = apart > 0 ? apart : 0;
            double p = fl_exp(-apart), own = a->entropies[i] + apart;
            if (p > 0 && pass)
                spread += p * (a->varentropies[i] + (own - mean) * (own - mean));
            else if (p > 0)
                mean += p * own;
        }
    a->whole_entropies[r] = mean;
    if (a->whole_varentropies) a->whole_varentropies[r] = spread;
}

int fl_merge(const fl_kernels *k, fl_scratch *s, const fl_merging *m, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) {
        double rest, t = m->temperature.at[r * m->temperature.step];
        if (!(fabs(m->whole.tops[r]) <= DBL_MAX)) continue;
        status = m->whole.guesses ? rest_of_sums(k, s, m, r, t, &rest) : rest_of_pairs(s, m, r, t, &rest);
        if (status) break;
        m->tails[r] = fl_log1p(rest);
        if (m->entropies) merge_entropies(m, r, t);
    }
    fl_env_leave(saved);
    return status;
}
