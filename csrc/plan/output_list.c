/* output_list.c: from the list of survivors to tokens, probabilities, logits, candidates and log-probs. */
#include "plan/output_list.h"
#include <stdlib.h>
#include <string.h>
#include "base/math.h"
#include "plan/gumbel.h"
#include "plan/report.h"
#include "rows/write.h"

void fl_listing_free(fl_listing *l) {
    free(l->ids);
    free(l->logits);
    free(l->logprobs);
    memset(l, 0, sizeof *l);
}

/* ln of the list's total mass in units of its first: ln(1 + rest). */
static double log_total_of(fl_cands *c) {
    const double *mass = fl_cands_masses(c, c->n);
    double rest = 0;
    for (int64_t i = c->n - 1; i > 0; i--) rest += mass[i];
    return fl_log1p(rest);
}

double fl_list_logprob(fl_cands *c, int64_t id) {
    int64_t at = 0;
    while (at < c->n - 1 && c->id[at] != id) at++;
    return (c->logit[at] - c->logit[0]) - log_total_of(c);
}

/* Inverse of the running mass in token-id order: the first survivor whose running mass exceeds u * total. running: by
 * place in raw. */
static int64_t place_of(const double *running, int64_t n, double u) {
    double total = running[n - 1], target = u * total;
    int64_t low = 0, high = n - 1; /* where rounding made the target the total, the last that adds to it */
    if (!(target < total)) target = total - total * 0x1p-53;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (running[mid] > target)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

int fl_draw_list(fl_job *j) {
    fl_cands *c = &j->list;
    fl_drawn *d = &j->drawn;
    double *running = fl_buffer(j->s, FL_BUF_E, (size_t)(c->raw + 1) * sizeof(double));
    int status = fl_drawn_open(j);
    if (status || !running) return status ? status : fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (j->gumbel) return fl_gumbel_list(j);
    const double *mass = fl_cands_masses(c, c->n);
    memset(running, 0, (size_t)c->raw * sizeof(double));
    for (int64_t i = 0; i < c->n; i++) running[c->pos[i]] = mass[i];
    for (int64_t i = 1; i < c->raw; i++) running[i] += running[i - 1];
    for (; d->n < d->room; d->n++) {
        if (fl_stopped(j->s)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
        int64_t at = 0, drawn = c->n > 1 ? place_of(running, c->raw, fl_draw_u(j, d->n)) : c->pos[0];
        while (at < c->n - 1 && c->pos[at] != drawn) at++;
        d->id[d->n] = c->id[at];
        d->logit[d->n] = c->logit[at];
    }
    return FL_OK;
}

/* The drawn tokens, and the likeliest ones, either if wanted. */
static int report_tokens(fl_job *j) {
    fl_cands *c = &j->list;
    fl_drawn *d = &j->drawn;
    int drawn = j->out->ids != NULL, status = drawn ? fl_draw_list(j) : FL_OK;
    if (status) return status;
    if (drawn && fl_only_ids(j)) return fl_report_drawn(j, 0, 0);
    double log_total = log_total_of(c);
    for (int64_t i = 0; drawn && i < d->n; i++) {
        int64_t above = 0;
        while (c->logit[above] > d->logit[i]) above++;
        d->rank[i] = above + 1;
    }
    fl_report_best(j, c, log_total);
    return drawn ? fl_report_drawn(j, c->logit[0], log_total) : FL_OK;
}

/* Logit i as it is told: after renormalising its log-prob. */
static double told(const fl_job *j, int64_t i, double log_total) {
    const double *logit = j->list.logit;
    return j->program.renormalise ? (logit[i] - logit[0]) - log_total : logit[i];
}

static int write_logits(fl_job *j) {
    const fl_rows *out = j->out->logits;
    double log_total = j->program.renormalise ? log_total_of(&j->list) : 0;
    int status = fl_fits(j, out, told(j, 0, log_total));
    if (status) return status;
    fl_fill_row(out, j->r, -(double)INFINITY);
    for (int64_t i = 0; i < j->list.n; i++) fl_store_at(out, j->r, j->list.id[i], told(j, i, log_total));
    return FL_OK;
}

static int write_probs(fl_job *j) {
    fl_cands *c = &j->list;
    const double *mass = fl_cands_masses(c, c->n);
    double low, total = fl_sum(mass, c->n, &low);
    fl_fill_row(j->out->probs, j->r, 0.0);
    for (int64_t i = 0; i < c->n; i++) fl_store_at(j->out->probs, j->r, c->id[i], mass[i] / total);
    return FL_OK;
}

static int grow(fl_listing *l, int64_t more) {
    if (l->count + more <= l->room) return 0;
    int64_t room = 2 * (l->count + more);
    void *ids = realloc(l->ids, (size_t)room * sizeof(int64_t));
    if (ids) l->ids = ids;
    void *logits = realloc(l->logits, (size_t)room * sizeof(double));
    if (logits) l->logits = logits;
    void *logprobs = realloc(l->logprobs, (size_t)room * sizeof(double));
    if (logprobs) l->logprobs = logprobs;
    if (!ids || !logits || !logprobs) return -1;
    l->room = room;
    return 0;
}

static int write_listing(fl_job *j) {
    fl_cands *c = &j->list;
    fl_listing *l = j->out->listing;
    double log_total = log_total_of(c);
    if (grow(l, c->n)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    for (int64_t i = 0; i < c->n; i++) {
        l->ids[l->count] = c->id[i];
        l->logits[l->count] = told(j, i, log_total);
        l->logprobs[l->count++] = (c->logit[i] - c->logit[0]) - log_total;
    }
    j->out->counts[j->r] = c->n;
    return FL_OK;
}

int fl_end_list(fl_job *j) {
    int status = FL_OK;
    if (j->kept) return FL_OK;
    if (!status && (j->out->ids || j->out->top_n)) status = report_tokens(j);
    if (!status && j->out->listing) status = write_listing(j);
    if (!status && j->out->probs) status = write_probs(j);
    if (!status && j->out->logits) status = write_logits(j);
    return status;
}
