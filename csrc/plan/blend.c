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
#include "plan/job.h"

/* Value by value, in the order of a NumPy user's formula. */
static double combined(const fl_blend *b, double base, double plus, double minus) {
    double v = b->scale * (plus - minus);
    return b->mode == FL_BARE ? v : base + v;
}

static double at(const void *part, int32_t dtype, int64_t id) {
    fl_row row = {.x = part, .dtype = dtype};
    return dtype == FL_F64 ? ((const double *)part)[id] : fl_row_value(&row, id);
}

double fl_blend_value(const fl_row *row, int64_t id) {
    const fl_blend *b = row->blend;
    int32_t t = row->parts;
    double base = at(b->base, t, id), plus = at(b->plus, t, id), minus = at(b->minus, t, id);
    if (plus != plus || minus != minus || base != base) return (double)NAN;
    if (plus < b->floor || (b->mode == FL_TRIPLE && base < -DBL_MAX)) return -(double)INFINITY;
    double v = combined(b, base, plus, minus);
    if (minus < -DBL_MAX) v = b->limit != 0 ? b->limit : b->mode == FL_TRIPLE ? base : plus;
    return (v - b->top) - b->tail;
}

/* Which part plays which role. */
static fl_blend roles_of(const fl_step_values *v, const fl_row *parts) {
    const void *p[3] = {NULL, NULL, NULL};
    int triple = v->op == FL_OP_d_experts, contrast = v->op == FL_OP_contrastive;
    for (int i = 0; i < 2 + triple; i++) p[i] = parts[i].wide ? (const void *)parts[i].wide : parts[i].x;
    fl_blend b = {.base = p[1], .plus = p[0], .minus = p[1], .scale = v->value, .mode = FL_PAIR};
    if (triple) b.base = p[0], b.plus = p[1], b.minus = p[2], b.mode = FL_TRIPLE;
    if (contrast) b.scale = 1.0 + v->second;
    if (contrast && v->second != v->second) b.scale = 1.0, b.mode = FL_BARE;
    double neutral = b.mode == FL_PAIR ? 1.0 : 0.0;
    b.limit = b.scale > neutral ? (double)INFINITY : b.scale < neutral ? -(double)INFINITY : 0.0;
    b.scale32 = (float)b.scale;
    b.floor = -DBL_MAX;
    b.floor32 = -FLT_MAX;
    return b;
}

/* contrastive: what is less likely than alpha times the likeliest is banned. */
static void set_floor(const fl_kernels *k, const fl_step_values *v, const fl_row *part, fl_blend *b) {
    if (v->op != FL_OP_contrastive || !(v->value > 0)) return;
    double top = part->wide ? k->list_max(part->wide, part->n) : (double)k->row_max[part->dtype](part->x, part->n);
    double floor = top + fl_log(v->value);
    if (floor >= -DBL_MAX) b->floor = floor;
    if (!(floor >= -(double)FLT_MAX && floor <= (double)FLT_MAX)) return;
    b->floor32 = (float)floor;
    if ((double)b->floor32 < floor) b->floor32 = fl_float_after(b->floor32);
}

/* The combination of the log-sum-exps, in two parts, so that a token that is the top of both rows keeps what is left of it.
 * On failure *bad is the number of the part. */
static int set_shift(const fl_kernels *k, fl_scratch *s, const fl_row *parts, fl_blend *b, int *bad) {
    double top[2], tail[2];
    for (int i = 0; i < 2; i++) {
        fl_row part = parts[i];
        fl_mass m;
        *bad = i;
        if (part.wide && fl_row_image(s, k, &part, part.wide)) return FL_NO_MEMORY;
        int status = fl_mass_run(k, s, &part, NULL, 1.0, -FLT_MAX, 0, &m);
        if (status) return status;
        top[i] = m.top;
        tail[i] = fl_log1p(m.rest);
    }
    b->top = combined(b, top[1], top[0], top[1]);
    b->tail = combined(b, tail[1], tail[0], tail[1]);
    b->shift32 = (float)(b->top + b->tail);
    return FL_OK;
}

static int takes_logs(const fl_step_values *v) {
    return v->op == FL_OP_contrastive || (v->op == FL_OP_guidance && !(v->flags & FL_RAW));
}

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

static int open_parts(fl_scratch *s, const fl_rows *x, const fl_rows *const *beside, int64_t r, fl_row *parts, int *n) {
    if (fl_row_part(s, x, r, FL_BUF_PACKED, parts)) return FL_NO_MEMORY;
    for (*n = 1; *n <= FL_MOST_BESIDE && beside[*n - 1]; ++*n)
        if (fl_row_part(s, beside[*n - 1], r, FL_BUF_PACKED + *n, parts + *n)) return FL_NO_MEMORY;
    return FL_OK;
}

int fl_blend_open(fl_job *j, const fl_step_values *v, const fl_plan *plan, const fl_rows *x) {
    int bad = 0, n = 0;
    if (open_parts(j->s, x, j->in->beside, j->r, j->parts, &n)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (n < (v->op == FL_OP_d_experts ? 3 : 2)) return fl_fail(j, FL_NO_FINITE, -1, 0);
    j->parts_n = n;
    j->blend = roles_of(v, j->parts);
    set_floor(j->k, v, j->parts, &j->blend);
    j->trace.passes += v->op == FL_OP_contrastive;
    j->shift_free = !values_matter(j, plan);
    if (takes_logs(v) && !j->shift_free) {
        j->trace.passes += n;
        int status = set_shift(j->k, j->s, j->parts, &j->blend, &bad);
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
            double v = !j->live || j->live[id / FL_LANES] >> id % FL_LANES & 1 ? fl_row_value(&j->row, id) : top;
            top = v > top ? v : top;
        }
    }
    return top;
}

/* ---- whole rows ------------------------------------------------------------------------------------ */

static int write_combined(const fl_kernels *k, fl_scratch *s, const fl_blend *b, const fl_rows *out, int64_t r) {
    char *to = fl_row_address(out, r);
    int64_t n = out->n, size = fl_value_size(out->dtype);
    int direct = out->dtype != FL_F64 && (out->stride == size || n == 1);
    void *y = direct ? to : fl_buffer(s, FL_BUF_ROW, (size_t)(n * size));
    if (!y) return FL_NO_MEMORY;
    if (out->dtype == FL_F64)
        k->f64_blend(b, n, y);
    else
        k->row_blend[out->dtype](b, n, NULL, y);
    for (int64_t i = 0; !direct && i < n; i++) memcpy(to + i * out->stride, (char *)y + i * size, (size_t)size);
    return FL_OK;
}

int fl_combine(const fl_kernels *k, fl_scratch *s, const fl_step *step, const fl_rows *x, const fl_rows *const *beside,
               const fl_rows *out, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; x->n && r < end && !status; r++) {
        fl_step_values v = fl_step_values_of(step, r, 0);
        fl_row parts[1 + FL_MOST_BESIDE];
        int n, bad, failed = FL_OK;
        status = open_parts(s, x, beside, r, parts, &n);
        if (status) break;
        fl_blend b = roles_of(&v, parts);
        set_floor(k, &v, parts, &b);
        if (takes_logs(&v) && x->n) failed = set_shift(k, s, parts, &b, &bad);
        if (failed == FL_NO_MEMORY) status = failed;
        if (failed) b.top = (double)NAN, b.floor = -(double)INFINITY;
        if (!status) status = write_combined(k, s, &b, out, r);
    }
    fl_env_leave(saved);
    return status;
}
