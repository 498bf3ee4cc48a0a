/* output_dense.c: from survivors that were never listed to tokens, probabilities, logits and log-probs. */
#include "plan/output_dense.h"
#include <float.h>
#include <string.h>
#include "plan/collect.h"
#include "plan/gumbel.h"
#include "plan/report.h"
#include "rows/write.h"

int fl_ends_dense(const fl_job *j) {
    const fl_results *o = j->out;
    int more = o->listing || o->probs || o->logits || o->logprobs || o->ranks || o->top_n || o->raw_logprobs;
    if (j->row.blend && more) return 0; /* their floats are near their values, no more */
    return !j->out->listing && !(j->row.wide && j->program.head < j->program.count);
}

/* 1 + number of survivors with a greater logit. */
static int64_t rank_of(const fl_job *j, double logit) {
    int64_t above = 0;
    for (int64_t i = 0; i < j->edits.n; i++) above += j->edits.logit[i] > logit;
    if (j->row.wide) {
        for (int64_t id = 0; id < j->row.n; id++)
            above += fl_is_live(j->live, id) && fl_head_value(&j->program, j->row.wide[id]) > logit;
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
        if (fl_stopped(j->s)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
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
        while (alive < c->n && fl_before_cut(d, c->logit[alive], c->id[alive])) alive++;
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
        int stays = fl_before_cut(d, logit, id);
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
