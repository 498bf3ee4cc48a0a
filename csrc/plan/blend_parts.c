/* blend_parts.c: the rows of a combination and their roles. */
#include "plan/blend_parts.h"
#include <float.h>

int fl_parts_open(fl_scratch *s, const fl_rows *x, const fl_rows *const *beside, int64_t r, fl_row *parts, int *n) {
    if (fl_row_part(s, x, r, FL_BUF_PACKED, parts)) return FL_NO_MEMORY;
    for (*n = 1; *n <= FL_MOST_BESIDE && beside[*n - 1]; ++*n)
        if (fl_row_part(s, beside[*n - 1], r, FL_BUF_PACKED + *n, parts + *n)) return FL_NO_MEMORY;
    return FL_OK;
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

fl_blend fl_parts_blend(const fl_kernels *k, const fl_step_values *v, const fl_row *parts) {
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
    set_floor(k, v, parts, &b);
    return b;
}

int fl_parts_logs(const fl_step_values *v) {
    return v->op == FL_OP_contrastive || (v->op == FL_OP_guidance && !(v->flags & FL_RAW));
}

int fl_parts_shift(const fl_kernels *k, fl_scratch *s, const fl_row *parts, fl_blend *b, int *bad) {
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
    b->top = fl_blend_of_values(b, top[1], top[0], top[1]);
    b->tail = fl_blend_of_values(b, tail[1], tail[0], tail[1]);
    b->shift32 = (float)(b->top + b->tail);
    return FL_OK;
}
