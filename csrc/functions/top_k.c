/* top_k.c: argmax and top_k of rows. NaN comes first, as in NumPy and torch; -inf is a value like any other. */
#include "functions/top_k.h"
#include <float.h>
#include <string.h>
#include "rows/mass.h"
#include "rows/sort.h"

float fl_read_once(const fl_kernels *k, const float *x, int64_t n) { return k->row_max[FL_F32](x, n); }

static int64_t first_nan(const fl_row *row) {
    for (int64_t i = 0; i < row->n; i++) {
        double v = fl_row_value(row, i);
        if (v != v) return i;
    }
    return -1;
}

/* Group and super-group maxima of an opened row; *bad says whether it may hold a NaN. */
static int scan(const fl_kernels *k, fl_scratch *s, const fl_row *row, float **gmax, float **smax, uint32_t *bad) {
    *gmax = fl_buffer(s, FL_BUF_GMAX, (size_t)fl_groups(row->n) * sizeof(float));
    *smax = fl_buffer(s, FL_BUF_SMAX, (size_t)fl_supers(row->n) * sizeof(float));
    if (!*gmax || !*smax) return FL_NO_MEMORY;
    *bad = k->row_scan[row->dtype](row->x, row->n, NULL, *gmax, *smax) | row->bad;
    return FL_OK;
}

/* First largest value of a double row, one by one: for rows with values beyond the float range. */
static int64_t plain_argmax(const fl_row *row) {
    int64_t best = 0;
    for (int64_t i = 1; i < row->n; i++)
        if (row->wide[i] > row->wide[best]) best = i;
    return best;
}

static int argmax_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, int64_t *id) {
    fl_row row;
    float *gmax, *smax;
    uint32_t bad;
    if (fl_row_open(s, k, x, r, &row) || scan(k, s, &row, &gmax, &smax, &bad)) return FL_NO_MEMORY;
    if (bad && (*id = first_nan(&row)) >= 0) return FL_OK;
    if (row.wide)
        *id = plain_argmax(&row);
    else
        *id = fl_first_equal(k, &row, NULL, gmax, (double)k->row_max[FL_F32](smax, fl_supers(row.n)));
    if (*id < 0) *id = 0; /* the maximum has changed since */
    return FL_OK;
}

int fl_argmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t *ids, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) status = argmax_row(k, s, x, r, ids + r);
    fl_env_leave(saved);
    return status;
}

/* Every value of the row as a candidate, NaN above all: for rows with NaN, +inf or too few finite values. */
static int64_t all_values(const fl_row *row, int32_t *ids, double *values) {
    for (int64_t i = 0; i < row->n; i++) {
        double v = fl_row_value(row, i);
        ids[i] = (int32_t)i;
        values[i] = v != v ? (double)INFINITY : v > DBL_MAX ? DBL_MAX : v;
    }
    return row->n;
}

/* Room for the candidates that groups at or above floor may hold, in FL_BUF_CANDS: values, ids, floats. */
static int candidate_room(fl_scratch *s, int64_t room, fl_best *best) {
    char *buffer = fl_buffer(s, FL_BUF_CANDS, (size_t)room * (sizeof(double) + sizeof(int32_t) + sizeof(float)));
    if (!buffer) return -1;
    best->values = (double *)(void *)buffer;
    best->ids = (int32_t *)(void *)(best->values + room);
    best->found = (float *)(void *)(best->ids + room);
    return 0;
}

int fl_collect_best(const fl_kernels *k, fl_scratch *s, const fl_row *row, const float *gmax, float floor,
                    fl_reached *known, int64_t top, fl_best *best) {
    int64_t n = row->n, equals = row->wide ? INT64_MAX : top;
    int64_t room = fl_groups_reach(k, gmax, fl_groups(n), floor, known) * FL_LANES;
    room = (room < n ? room : n) + FL_LANES;
    if (candidate_room(s, room, best)) return FL_NO_MEMORY;
    int64_t count = k->row_collect[row->dtype](row->x, n, NULL, gmax, floor, NAN, equals, room, best->ids, best->found);
    if (count < 0) return FL_CHANGED;
    if (!row->wide) count = fl_trim(k, top, count, best->ids, best->found);
    for (int64_t i = 0; i < count; i++) best->values[i] = row->wide ? row->wide[best->ids[i]] : (double)best->found[i];
    best->count = count;
    return FL_OK;
}

/* The candidates of the best `top`: at least those, ascending by id. */
static int best_values(const fl_kernels *k, fl_scratch *s, const fl_row *row, int64_t top, fl_best *best) {
    float *gmax, *smax, floor = -FLT_MAX;
    fl_reached known = {.groups = -1};
    uint32_t bad;
    int64_t n = row->n;
    if (scan(k, s, row, &gmax, &smax, &bad)) return FL_NO_MEMORY;
    if (bad) bad = fl_row_fault(row) == FL_NAN;
    int plain = !bad && k->row_max[FL_F32](smax, fl_supers(n)) <= FLT_MAX;
    if (plain) {
        floor = fl_row_floor(k, s, row, NULL, gmax, smax, top, &known);
        if (floor == -FLT_MAX && k->row_count[row->dtype](row->x, n, NULL, floor) < top) plain = 0;
    }
    int status = plain ? fl_collect_best(k, s, row, gmax, floor, &known, top, best) : FL_CHANGED;
    if (status == FL_NO_MEMORY || (!status && best->count >= top)) return status;
    if (candidate_room(s, n, best)) return FL_NO_MEMORY;
    best->count = all_values(row, best->ids, best->values);
    return FL_OK;
}

static int top_k_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, int64_t top, char *values,
                     int64_t *ids) {
    fl_row row;
    fl_best best;
    if (fl_row_open(s, k, x, r, &row) || best_values(k, s, &row, top, &best)) return FL_NO_MEMORY;
    int64_t size = fl_value_size(x->dtype);
    int32_t *order = fl_buffer(s, FL_BUF_SLOTS, (size_t)best.count * sizeof(int32_t));
    if (!order || fl_sort_descending(k, s, best.values, best.count, order)) return FL_NO_MEMORY;
    const char *from = fl_row_address(x, r);
    for (int64_t i = 0; i < top; i++) {
        ids[i] = best.ids[order[i]];
        memcpy(values + i * size, from + ids[i] * x->stride, (size_t)size);
    }
    return FL_OK;
}

int fl_top_k(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t top, void *values, int64_t *ids,
             int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    int64_t size = fl_value_size(x->dtype);
    for (int64_t r = begin; r < end && !status; r++)
        status = top_k_row(k, s, x, r, top, (char *)values + r * top * size, ids + r * top);
    fl_env_leave(saved);
    return status;
}
