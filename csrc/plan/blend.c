/* blend.c: a row of logits combined with one or two rows beside it, the first step of a plan.
 *
 *   guidance      u + s (c - u)                  c the logits, u the row beside them
 *   contrastive   e - a, or (1 + b) e - b a      e the logits, a the row beside them, where e >= max e + ln alpha
 *   d_experts     b + s (e - a)                  b the logits, e and a the rows beside them
 *
 * The first two mean log-softmaxes (guidance unless it is raw), which differ from the logits by a constant: it is taken off
 * where values matter, and left out where ranks, ratios and probabilities alone do. A plan that keeps few tokens sees the
 * combination in float while it reads the rows, for thresholds; its candidates are combined in double. For all others the
 * combination is written down in double. */
#include "plan/blend.h"

#include <float.h>

#include "base/math.h"
#include "plan/blend_parts.h"

/* Whether a constant added to all logits would show: in a result, or to an edit. */
static int values_matter(const fl_job *j, const fl_plan *plan) {
    if (j->out->logits || j->out->listing) return 1;
    for (int32_t i = 1; i < plan->count; i++) /* all other edits add to logits, or ban */
        switch (plan->steps[i].op) {
        case FL_OP_repetition_penalty:
        case FL_OP_encoder_repetition_penalty:
        case FL_OP_exponential_decay_length_penalty: return 1;
        default: break;
        }
    return 0;
}

int fl_blend_open(fl_job *j, const fl_step_values *v, const fl_plan *plan, const fl_rows *x) {
    int bad = 0, n = 0;
    if (fl_parts_open(j->s, x, j->in->beside, j->r, j->parts, &n)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (n < (v->op == FL_OP_d_experts ? 3 : 2)) return fl_fail(j, FL_NO_FINITE, -1, 0);
    j->parts_n = n;
    j->blend = fl_parts_blend(j->k, v, j->parts);
    j->trace.passes += v->op == FL_OP_contrastive;
    j->shift_free = !values_matter(j, plan);
    if (fl_parts_logs(v) && !j->shift_free) {
        j->trace.passes += n;
        int status = fl_parts_shift(j->k, j->s, j->parts, &j->blend, &bad);
        if (status) return fl_fail(j, status, -1, bad);
    }
    j->row = (fl_row){.blend = &j->blend, .n = x->n, .dtype = x->dtype, .parts = x->dtype};
    return FL_OK;
}

int fl_blend_fault(fl_job *j, int status) {
    for (int32_t i = 0; i < j->parts_n; i++) {
        const fl_row *part = j->parts + i;
        int fault = fl_row_fault(part), finite = 0;
        for (int64_t id = 0; !fault && !finite && id < part->n; id++) finite = fl_row_value(part, id) >= -DBL_MAX;
        if (fault || !finite) return fl_fail(j, fault ? fault : FL_NO_FINITE, -1, i);
    }
    return fl_fail(j, status, 0, 0);
}

void fl_blend_center(fl_job *j) {
    if (!j->shift_free || j->row.dtype == FL_F64) return;
    double top = -(double)INFINITY;
    for (int64_t id = 0; id < j->row.n; id += j->row.n / 256 + 1) {
        double v = fl_row_value(&j->row, id);
        top = v > top ? v : top;
    }
    if (fabs(top) <= 1e30) j->blend.top += top;
}

int fl_blend_image(fl_job *j) {
    fl_row *row = &j->row;
    if (row->dtype == FL_F64) return 0;
    float *image = fl_buffer(j->s, FL_BUF_IMAGE, (size_t)row->n * sizeof(float));
    double *wide = row->dtype ? fl_buffer(j->s, FL_BUF_WIDE, (size_t)row->n * sizeof(double)) : NULL;
    if (!image || (row->dtype && !wide)) return 0;
    uint32_t bad = j->k->row_blend[row->dtype](row->blend, row->n, wide, image);
    if (wide) bad |= j->k->f64_image(wide, row->n, image);
    if (bad || j->k->row_max[FL_F32](image, row->n) > FLT_MAX) return 0;
    j->trace.passes++;
    row->x = image;
    row->dtype = FL_F32;
    return 1;
}

int fl_blend_settle(fl_job *j) {
    fl_row *row = &j->row;
    if (!row->blend) return FL_OK;
    row->dtype = row->parts;
    double *wide = fl_buffer(j->s, FL_BUF_WIDE, (size_t)row->n * sizeof(double));
    if (!wide) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    int single = row->dtype != FL_F64;
    uint32_t bad = single ? j->k->row_blend[row->dtype](row->blend, row->n, wide, NULL)
                          : j->k->f64_blend(row->blend, row->n, wide);
    j->trace.passes++;
    *row = (fl_row){.n = row->n};
    if (fl_row_image(j->s, j->k, row, wide)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return bad || row->bad ? fl_blend_fault(j, FL_STEP_INF) : FL_OK;
}

/* |float - double| <= 2^-24 (2 |s d| + 2 |shift| + 2 |l|) for d = plus - minus and the combination l; thresholds are such
 * values themselves. Doubles are not scanned in float. */
int fl_blend_scan(fl_job *j) {
    const fl_row *row = &j->row;
    if (row->dtype == FL_F64 || row->n == 0) return 0;
    float squares = j->k->blend_scan[row->dtype](row->blend, row->n, j->live, j->gmax, j->smax);
    if (!(squares <= FLT_MAX)) return 0;
    double most = squares > 0 ? 1.01 * fl_exp(0.5 * fl_log((double)squares)) : 0.0;
    j->row.slack = 0x1p-21 * (fabs(row->blend->scale) * most + fabs((double)row->blend->shift32));
    return j->k->row_max[FL_F32](j->smax, fl_supers(row->n)) >= -FLT_MAX && j->row.slack <= (double)FLT_MAX;
}

float fl_blend_lowered(const fl_job *j, float floor) {
    double v = (double)floor - (fabs((double)floor) * 0x1p-21 + 0x1p-140 + j->row.slack);
    return v < -(double)FLT_MAX ? -FLT_MAX : (float)v;
}

double fl_blend_top(const fl_job *j, float image) {
    double top = -(double)INFINITY;
    int64_t groups = fl_groups(j->row.n);
    float floor = fl_blend_lowered(j, image);
    for (int64_t g = 0; g < groups; g++) {
        if (j->gmax[g] < floor) continue;
        int64_t first = g / FL_LANES * FL_BLOCK + g % FL_LANES;
        for (int64_t id = first; id < j->row.n && id < first + FL_BLOCK; id += FL_LANES) {
            double v = fl_is_live(j->live, id) ? fl_row_value(&j->row, id) : top;
            top = v > top ? v : top;
        }
    }
    return top;
}
