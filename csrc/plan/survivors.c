/* survivors.c: survivors that were never listed: their masses, totals and logits. */
#include "plan/survivors.h"
#include <float.h>
#include "base/math.h"
#include "kernels/exp_args.h"
#include "plan/collect.h"

int fl_edited_masses(fl_job *j) {
    int64_t n = j->edits.n, groups = fl_groups(n);
    j->edited_total = 0;
    if (!n) return 0;
    double *sums = fl_buffer(j->s, FL_BUF_EDITED, (size_t)(n + 2 * groups) * sizeof(double));
    if (!sums) return -1;
    j->edited_mass = sums + 2 * groups;
    fl_exp64_args args = fl_exp64_args_of(1.0, j->top, 0);
    j->k->f64_sumexp(j->edits.logit, n, NULL, &args, sums, j->edited_mass);
    for (int64_t g = 0; g < groups; g++) j->edited_total += sums[g];
    return 0;
}

float *fl_edited_floats(fl_job *j, double unit, int64_t *count) {
    *count = j->edits.n;
    float *e = fl_buffer(j->s, FL_BUF_ROW, (size_t)(*count + 1) * sizeof(float));
    for (int64_t i = 0; e && i < *count; i++) {
        double mass = j->edited_mass[i] * unit;
        e[i] = mass < (double)FLT_MAX ? (float)mass : FLT_MAX;
    }
    return e;
}

/* ln(total / mass of the top token), the top token itself never being part of a difference. */
static double log_total_of(const fl_job *j, const fl_dense *d) {
    double unit = fl_mass_of_logit(&d->mass, j->top), rest = 0;
    double live_top = fl_head_value(&j->program, d->mass.top);
    int top_is_live = live_top >= j->top, skipped = top_is_live;
    for (int64_t i = 0; i < j->edits.n; i++) {
        int64_t id = j->edits.id[i];
        double logit = j->edits.logit[i];
        if (!skipped && logit == j->top)
            skipped = 1;
        else if (fl_before_cut(d, logit, id))
            rest += j->edited_mass[i];
    }
    rest += top_is_live ? d->mass.rest : fl_mass_total(&d->mass) / unit;
    return fl_log1p(rest);
}

/* Total of a double row with all that its sums lost. */
static void compensated_total(const fl_job *j, fl_dense *d, double unit) {
    int64_t groups = fl_groups(j->row.n);
    double lost, sum = fl_sum(d->mass.gsum64, groups, &lost);
    for (int64_t g = 0; g < groups; g++) lost += d->mass.gsum64[groups + g];
    for (int64_t i = 0; i < j->edits.n; i++) {
        if (!fl_before_cut(d, j->edits.logit[i], j->edits.id[i])) continue;
        double v = j->edited_mass[i] * unit, next = sum + v;
        lost += sum >= v ? (sum - next) + v : (v - next) + sum;
        sum = next;
    }
    d->total = sum + lost;
    d->total_low = lost - (d->total - sum);
}

int fl_dense_sums(fl_job *j, fl_dense *d) {
    int64_t blocks = (j->row.n + FL_BLOCK - 1) / FL_BLOCK;
    double unit = fl_mass_of_logit(&d->mass, j->top);
    d->sums = fl_buffer(j->s, FL_BUF_SUMS, (size_t)blocks * sizeof(double));
    if (!d->sums) return -1;
    if (d->mass.gsum64)
        for (int64_t b = 0; b < blocks; b++) {
            d->sums[b] = 0;
            for (int l = 0; l < FL_LANES; l++) d->sums[b] += d->mass.gsum64[b * FL_LANES + l];
        }
    else
        j->k->block_sums(d->mass.gsum, blocks * FL_LANES, d->sums);
    /* Their logits are kept: the row itself may be the one that is written. */
    d->extra_logit = fl_buffer(j->s, FL_BUF_EXTRA, (size_t)(d->extra_n + 1) * 2 * sizeof(double));
    if (!d->extra_logit) return -1;
    d->extra_mass = d->extra_logit + d->extra_n;
    for (int64_t i = 0; i < d->extra_n; i++) d->extra_logit[i] = fl_row_value(&j->row, d->extra[i]);
    fl_head_values(j->k, &j->program, d->extra_logit, d->extra_n);
    fl_exp64_args args = fl_exp64_args_of(1.0, j->top, 0);
    j->k->list_exp(d->extra_logit, d->extra_n, &args, d->extra_mass);
    for (int64_t i = 0; i < d->extra_n; i++) {
        d->extra_mass[i] *= unit;
        d->sums[d->extra[i] / FL_BLOCK] += d->extra_mass[i];
    }
    for (int64_t i = 0; i < j->edits.n; i++) {
        int64_t id = j->edits.id[i];
        double logit = j->edits.logit[i];
        if (fl_before_cut(d, logit, id)) d->sums[id / FL_BLOCK] += j->edited_mass[i] * unit;
    }
    d->total = fl_sum(d->sums, blocks, &d->total_low);
    if (d->mass.gsum64) compensated_total(j, d, unit);
    /* The top of a combination's floats may lie beside that of its values. */
    d->log_total = d->extra || j->row.blend ? fl_log(d->total / unit) : log_total_of(j, d);
    return 0;
}

int fl_dense_uniform(fl_job *j, fl_dense *d) {
    int64_t n = j->row.n, groups = fl_groups(n);
    float top = j->k->row_max[FL_F32](j->gmax, groups);
    if (j->edits.n || j->out->probs || j->out->logits || j->k->count_ge(j->gmax, groups, top) * 2 < groups) return 0;
    int64_t equal = j->k->row_count[j->row.dtype](j->row.x, n, j->live, top);
    if (equal < n && equal != j->k->row_count[j->row.dtype](j->row.x, n, j->live, d->high)) return 0;
    d->uniform = equal;
    d->log_total = fl_log((double)equal);
    return 1;
}

double fl_dense_logit(const fl_job *j, const fl_dense *d, int64_t id) {
    double logit;
    int64_t at = -1;
    if (fl_is_live(j->live, id)) {
        logit = fl_head_value(&j->program, fl_row_value(&j->row, id));
    } else {
        at = fl_edits_find(&j->edits, id);
        logit = at >= 0 ? j->edits.logit[at] : -(double)INFINITY;
    }
    if (d->smooth && at < 0) logit = fl_smoothed(d->smooth, logit, j->top);
    return fl_before_cut(d, logit, id) ? logit : -(double)INFINITY;
}

int64_t fl_dense_draw(const fl_job *j, const fl_dense *d, double u) {
    int64_t n = j->row.n, blocks = (n + FL_BLOCK - 1) / FL_BLOCK, last = 0;
    if (d->uniform) {
        int64_t nth = (int64_t)(u * (double)d->uniform);
        float top = j->k->row_max[FL_F32](j->gmax, fl_groups(n));
        if (d->uniform < n) nth = j->k->row_nth[j->row.dtype](j->row.x, n, j->live, top, NAN, nth);
        return nth < n ? nth : -1;
    }
    double target = u * d->total, running = 0;
    for (int64_t b = 0; b < blocks; b++) {
        if (!(d->sums[b] > 0)) continue;
        last = b;
        if (running + d->sums[b] > target) break;
        running += d->sums[b];
    }
    double mass[FL_BLOCK], unit = fl_mass_of_logit(&d->mass, j->top);
    int64_t found = -1, first = last * FL_BLOCK, count = first + FL_BLOCK < n ? FL_BLOCK : n - first;
    fl_exp64_args args = fl_exp64_args_of(1.0, j->top, 0);
    for (int64_t i = 0; i < count; i++) mass[i] = fl_dense_logit(j, d, first + i);
    j->k->list_exp(mass, count, &args, mass);
    for (int64_t i = 0; i < count; i++) {
        if (!(mass[i] > 0)) continue;
        found = first + i;
        running += mass[i] * unit;
        if (running > target) break;
    }
    return found;
}
