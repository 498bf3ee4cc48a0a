/* select.c: argmax and top_k of rows. NaN comes first, as in NumPy and torch; -inf is a value like any other. */
#include "internal.h"

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

/* The candidates of the best `top`: at least those, ascending by id. Arrays lie in FL_BUF_CANDS. */
static int64_t best_values(const fl_kernels *k, fl_scratch *s, const fl_row *row, int64_t top, int32_t **ids,
                           double **values) {
    float *gmax, *smax, floor = -FLT_MAX;
    uint32_t bad;
    int64_t n = row->n, groups = fl_groups(n), room = n;
    if (scan(k, s, row, &gmax, &smax, &bad)) return -1;
    if (bad) bad = fl_row_fault(row) == FL_NAN;
    int plain = !bad && k->row_max[FL_F32](smax, fl_supers(n)) <= FLT_MAX;
    if (plain) {
        fl_reached known = {.groups = -1};
        floor = fl_row_floor(k, s, row, NULL, gmax, smax, top, &known);
        int64_t passing = fl_groups_reach(k, gmax, groups, floor, &known) * FL_LANES;
        room = passing < n ? passing : n;
        if (floor == -FLT_MAX && k->row_count[row->dtype](row->x, n, NULL, floor) < top) plain = 0;
    }
    room = (plain ? room : n) + FL_LANES;
    char *buffer = fl_buffer(s, FL_BUF_CANDS, (size_t)room * (sizeof(double) + sizeof(int32_t) + sizeof(float)));
    if (!buffer) return -1;
    *values = (double *)(void *)buffer;
    *ids = (int32_t *)(void *)(*values + room);
    if (!plain) return all_values(row, *ids, *values);
    int64_t equals = row->wide ? INT64_MAX : top;
    float *found = (float *)(void *)(*ids + room);
    int64_t count = k->row_collect[row->dtype](row->x, n, NULL, gmax, floor, NAN, equals, room, *ids, found);
    if (!row->wide) count = fl_trim(k, top, count, *ids, found);
    for (int64_t i = 0; i < count; i++) (*values)[i] = row->wide ? row->wide[(*ids)[i]] : (double)found[i];
    return count;
}

static int top_k_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, int64_t top, char *values,
                     int64_t *ids) {
    fl_row row;
    int32_t *found_ids;
    double *found;
    if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
    int64_t count = best_values(k, s, &row, top, &found_ids, &found), size = fl_value_size(x->dtype);
    if (count < 0) return FL_NO_MEMORY;
    int32_t *order = fl_buffer(s, FL_BUF_SLOTS, (size_t)count * sizeof(int32_t));
    if (!order || fl_sort_descending(k, s, found, count, order)) return FL_NO_MEMORY;
    const char *from = fl_row_address(x, r);
    for (int64_t i = 0; i < top; i++) {
        ids[i] = found_ids[order[i]];
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
