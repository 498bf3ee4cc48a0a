/* survivors.c: ends for survivors that were never listed: no cut at all, a cut by value, or a large nucleus. */
#include "plan/job.h"

static int before_cut(const fl_dense *d, double logit, int64_t id) {
    return logit > d->cut_logit || (logit == d->cut_logit && id <= d->cut_id);
}

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
        else if (before_cut(d, logit, id))
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
        if (!before_cut(d, j->edits.logit[i], j->edits.id[i])) continue;
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
        if (before_cut(d, logit, id)) d->sums[id / FL_BLOCK] += j->edited_mass[i] * unit;
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
    if (!j->live || j->live[id / FL_LANES] >> id % FL_LANES & 1) {
        logit = fl_head_value(&j->program, fl_row_value(&j->row, id));
    } else {
        at = fl_edits_find(&j->edits, id);
        logit = at >= 0 ? j->edits.logit[at] : -(double)INFINITY;
    }
    if (d->smooth && at < 0) logit = fl_smoothed(d->smooth, logit, j->top);
    return before_cut(d, logit, id) ? logit : -(double)INFINITY;
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

/* 1 + number of survivors with a greater logit. */
static int64_t rank_of(const fl_job *j, double logit) {
    int64_t above = 0;
    for (int64_t i = 0; i < j->edits.n; i++) above += j->edits.logit[i] > logit;
    if (j->row.wide) {
        for (int64_t id = 0; id < j->row.n; id++)
            above += (!j->live || j->live[id / FL_LANES] >> id % FL_LANES & 1) &&
                     fl_head_value(&j->program, j->row.wide[id]) > logit;
        return above + 1;
    }
    float v = fl_exact_value(j, logit, 1);
    return 1 + above + j->k->row_count[j->row.dtype](j->row.x, j->row.n, j->live, v);
}

int fl_draw_dense(fl_job *j, const fl_dense *d) {
    fl_drawn *drawn = &j->drawn;
    int status = fl_drawn_open(j);
    if (status) return status;
    if (j->gumbel) return fl_gumbel_dense(j, d);
    for (; drawn->n < drawn->room; drawn->n++) {
        int64_t id = fl_dense_draw(j, d, fl_draw_u(j, drawn->n));
        if (id < 0) return fl_fail(j, FL_CHANGED, -1, 0);
        drawn->id[drawn->n] = id;
        if (!fl_only_ids(j)) drawn->logit[drawn->n] = fl_dense_logit(j, d, id);
    }
    return FL_OK;
}

/* The drawn tokens, and the likeliest ones, either if wanted. */
static int report_tokens(fl_job *j, fl_dense *d) {
    const fl_results *o = j->out;
    fl_drawn *drawn = &j->drawn;
    int status = o->ids ? fl_draw_dense(j, d) : FL_OK;
    if (status) return status;
    for (int64_t i = 0; o->ids && o->ranks && i < drawn->n; i++) drawn->rank[i] = rank_of(j, drawn->logit[i]);
    if (o->top_n) {
        status = fl_collect(j, fl_job_floor(j, o->top_n), o->top_n);
        if (status) return status;
        fl_cands *c = &j->list;
        int64_t alive = 0;
        while (alive < c->n && before_cut(d, c->logit[alive], c->id[alive])) alive++;
        fl_cands_keep(c, alive);
        fl_report_best(j, c, d->log_total);
    }
    return o->ids ? fl_report_drawn(j, j->top, d->log_total) : FL_OK;
}

/* Survivors that the dense writing left out. */
static void store_others(const fl_job *j, const fl_dense *d, const fl_rows *out, int as_probs, double shift) {
    double unit = fl_mass_of_logit(&d->mass, j->top);
    for (int64_t i = 0; i < d->extra_n; i++) {
        double logit = d->extra_logit[i];
        fl_store_at(out, j->r, d->extra[i], as_probs ? d->extra_mass[i] / d->total : logit - shift);
    }
    for (int64_t i = 0; i < j->edits.n; i++) {
        int64_t id = j->edits.id[i];
        double logit = j->edits.logit[i];
        int stays = before_cut(d, logit, id);
        double p = stays ? j->edited_mass[i] * unit / d->total : 0.0, l = stays ? logit - shift : -(double)INFINITY;
        double v = as_probs ? p : l;
        fl_store_at(out, j->r, id, v);
    }
}

/* The kernels write side by side; rows of another stride go through a buffer, so that their bits are the same. */
static int write_logits(fl_job *j, fl_dense *d) {
    const fl_rows *out = j->out->logits;
    const fl_kernels *k = j->k;
    int64_t n = j->row.n, size = fl_value_size(out->dtype), split = d->split < n ? d->split : n;
    char *to = fl_row_address(out, j->r), *at = to;
    double less = j->program.renormalise ? j->top + d->log_total : 0;
    int status = fl_fits(j, out, j->top - less);
    if (status) return status;
    if (j->row.wide || out->dtype != j->row.dtype) {
        for (int64_t id = 0; id < n; id++) fl_store_at(out, j->r, id, fl_dense_logit(j, d, id) - less);
        return FL_OK;
    }
    if (out->stride != size) at = fl_buffer(j->s, FL_BUF_ROW, (size_t)(n * size));
    if (!at) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    float scale[2], pair[2];
    const float *shift = j->program.renormalise ? pair : NULL;
    fl_split(1.0 / j->program.temperature, scale);
    fl_split(less, pair);
    if (split) k->row_filter[out->dtype](j->row.x, split, j->live, scale, shift, d->low, at);
    k->row_filter[out->dtype]((const char *)j->row.x + split * size, n - split,
                              j->live ? j->live + split / FL_LANES : NULL, scale, shift, d->high, at + split * size);
    for (int64_t id = 0; at != to && id < n; id++) memcpy(to + id * out->stride, at + id * size, (size_t)size);
    store_others(j, d, out, 0, less);
    return FL_OK;
}

int fl_end_dense(fl_job *j, fl_dense *d) {
    int status = FL_OK;
    if (j->kept) {
        *j->kept = *d;
        j->is_dense = 1;
        return FL_OK;
    }
    if (j->out->probs) {
        fl_write_softmax(j->k, &d->mass, d->total, d->total_low, j->out->probs, j->r);
        store_others(j, d, j->out->probs, 1, 0);
    }
    if (j->out->logits) status = write_logits(j, d);
    if (!status && (j->out->ids || j->out->top_n)) status = report_tokens(j, d);
    return status;
}
