/* distribution.c: a distribution of which single probabilities are asked: whatever the plan leaves of a row, a list or a dense row
 * with its total; or probabilities as they are given. */
#include "verify/distribution.h"

#include <float.h>
#include <string.h>

#include "base/math.h"
#include "plan/output_dense.h"
#include "plan/output_list.h"
#include "plan/report.h"
#include "plan/run_rows.h"

int fl_law_read(fl_law *l, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of, const double *memory,
                int hears) {
    fl_job *j = &l->job;
    l->given = l->none = 0;
    l->n = -1;
    j->kept = &l->dense;
    j->observed = hears ? l->observed : NULL;
    for (int32_t i = 0; hears && i < FL_MAX_STEPS; i++) l->observed[i] = (double)NAN;
    int status = fl_run_row(j, plan, x, at, of, memory);
    if (!status) l->total = j->is_dense ? 0 : fl_cands_total(&j->list);
    return status;
}

int fl_law_given(fl_law *l, const fl_kernels *k, fl_scratch *s, const fl_rows *probs, int64_t at) {
    l->given = 1;
    l->none = 0;
    l->n = -1;
    if (fl_row_open(s, k, probs, at, &l->row)) return FL_NO_MEMORY;
    int64_t infinite = k->row_count[l->row.dtype](l->row.x, l->row.n, NULL, FLT_MAX);
    if (!infinite && k->row_count[l->row.dtype](l->row.x, l->row.n, NULL, 0.0f) == l->row.n) return FL_OK;
    for (int64_t i = 0; i < l->row.n; i++)
        if (fl_row_value(&l->row, i) != fl_row_value(&l->row, i)) return FL_NAN;
    return infinite ? FL_POS_INF : FL_NEGATIVE;
}

void fl_law_none(fl_law *l) {
    l->none = 1;
    l->given = 0;
}

int fl_law_list(fl_law *l) {
    fl_cands *c = &l->job.list;
    if (l->n >= 0) return FL_OK;
    l->shares = fl_buffer(l->job.s, FL_BUF_BY_ID, (size_t)(c->raw + 1) * (sizeof(double) + sizeof(int32_t)));
    if (!l->shares) return FL_NO_MEMORY;
    l->ids = (int32_t *)(void *)(l->shares + c->raw + 1);
    const double *mass = fl_cands_masses(c, c->n);
    memset(l->shares, 0, (size_t)c->raw * sizeof(double));
    for (int64_t i = 0; i < c->n; i++) l->shares[c->pos[i]] = mass[i] / l->total;
    l->n = 0;
    for (int64_t i = 0; i < c->raw; i++) {
        l->shares[l->n] = l->shares[i];
        l->ids[l->n] = c->raw_id[i];
        l->n += l->shares[i] > 0;
    }
    return FL_OK;
}

double fl_law_share(fl_law *l, int64_t id) {
    const fl_job *j = &l->job;
    if (l->none) return 1;
    if (l->given) return fl_row_value(&l->row, id);
    if (j->is_dense) {
        double logit = fl_dense_logit(j, &l->dense, id);
        if (l->dense.uniform) return logit >= -DBL_MAX ? 1.0 / (double)l->dense.uniform : 0;
        return fl_exp((logit - j->top) - l->dense.log_total);
    }
    if (l->n < 0) {
        for (int64_t i = 0; i < j->list.n; i++)
            if (j->list.id[i] == id) return fl_exp(j->list.logit[i] - j->list.logit[0]) / l->total;
        return 0;
    }
    int64_t low = 0, high = l->n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (l->ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < l->n && l->ids[low] == id ? l->shares[low] : 0;
}

int64_t fl_law_draw(const fl_law *l, double u) {
    if (l->job.is_dense) return fl_dense_draw(&l->job, &l->dense, u);
    double total = 0, running = 0;
    int64_t i = 0;
    for (int64_t at = 0; at < l->n; at++) total += l->shares[at];
    while (i < l->n - 1 && !((running += l->shares[i]) > u * total)) i++;
    return l->n ? l->ids[i] : -1;
}

int fl_law_sample(fl_law *l) { return l->job.is_dense ? fl_draw_dense(&l->job, &l->dense) : fl_draw_list(&l->job); }

const double *fl_law_observe(fl_law *l, int64_t id) {
    fl_job *j = &l->job;
    fl_observe(j, id,
               j->is_dense ? (fl_dense_logit(j, &l->dense, id) - j->top) - l->dense.log_total
                           : fl_list_logprob(&j->list, id));
    return l->observed;
}
