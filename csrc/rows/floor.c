/* floor.c: thresholds for collecting: never above what is looked for, so nothing is missed. */
#include "rows/floor.h"

/* Bisection over the ordered integers: count(lo) >= rank holds throughout, count(hi) < rank too. It ends when few
 * more than rank are left, or the interval is a single float. */
float fl_floor_of(const fl_kernels *k, const float *v, int64_t n, int64_t rank) {
    float top = -INFINITY;
    if (rank > n) return -FLT_MAX;
    top = k->row_max[FL_F32](v, n);
    if (top == -INFINITY) return -FLT_MAX;
    int64_t lo = fl_ordered(-FLT_MAX), hi = fl_ordered(top), reached = k->count_ge(v, n, -FLT_MAX);
    if (reached < rank) return -FLT_MAX;
    if (k->count_ge(v, n, top) >= rank) return top;
    /* First down from the top in growing steps, since ranks are small and tails are long. */
    for (int64_t step = (int64_t)1 << 20; hi - step > lo; step *= 2) {
        int64_t c = k->count_ge(v, n, fl_unordered(hi - step));
        if (c >= rank) {
            lo = hi - step;
            reached = c;
            break;
        }
        hi -= step;
    }
    while (hi - lo > 1 && reached > rank + rank / 8) {
        int64_t mid = lo + (hi - lo) / 2, c = k->count_ge(v, n, fl_unordered(mid));
        if (c >= rank) {
            lo = mid;
            reached = c;
        } else {
            hi = mid;
        }
    }
    return fl_unordered(lo);
}

/* The same bisection over the live values of a row, whose counting passes read the whole row. */
static float floor_by_counting(const fl_kernels *k, const fl_row *row, const uint16_t *live, float top, int64_t rank) {
    int64_t lo = fl_ordered(-FLT_MAX), hi = fl_ordered(top) + 1;
    int64_t reached = k->row_count[row->dtype](row->x, row->n, live, -FLT_MAX);
    if (reached <= rank) return -FLT_MAX;
    while (hi - lo > 1 && reached > rank + rank / 8) {
        int64_t mid = lo + (hi - lo) / 2;
        int64_t c = k->row_count[row->dtype](row->x, row->n, live, fl_unordered(mid));
        if (c >= rank) {
            lo = mid;
            reached = c;
        } else {
            hi = mid;
        }
    }
    return fl_unordered(lo);
}

int64_t fl_groups_reach(const fl_kernels *k, const float *gmax, int64_t groups, float floor, fl_reached *known) {
    if (known->groups < 0 || known->floor != floor) *known = (fl_reached){floor, k->count_ge(gmax, groups, floor)};
    return known->groups;
}

/* Each super-group holds its maximum, so the rank-th largest super-group maximum is reached by at least rank values; the
 * same with groups. When far more groups than rank pass (sorted rows), the maxima of those that pass raise the floor. */
float fl_row_floor(const fl_kernels *k, fl_scratch *s, const fl_row *row, const uint16_t *live, const float *gmax,
                   const float *smax, int64_t rank, fl_reached *known) {
    int64_t groups = fl_groups(row->n), supers = fl_supers(row->n);
    if (rank >= row->n) return -FLT_MAX;
    if (rank * 2 > groups) return floor_by_counting(k, row, live, k->row_max[FL_F32](gmax, groups), rank);
    if (!smax || rank * 2 > supers) return fl_floor_of(k, gmax, groups, rank);
    float floor = fl_floor_of(k, smax, supers, rank);
    if (floor == FLT_MAX || fl_groups_reach(k, gmax, groups, floor, known) <= 2 * rank + 64) return floor;
    if (k->count_ge(gmax, groups, fl_float_after(floor)) <= 2 * rank + 64)
        return floor; /* the others are equal to it */
    /* The group maxima are a row whose own group maxima are smax. */
    int64_t room = groups + FL_LANES;
    float *passed = fl_buffer(s, FL_BUF_GROUPS, (size_t)room * (sizeof(float) + sizeof(int32_t)));
    if (!passed) return floor;
    int32_t *ids = (int32_t *)(void *)(passed + room);
    int64_t count = k->row_collect[FL_F32](gmax, groups, NULL, smax, floor, NAN, INT64_MAX, room, ids, passed);
    return fl_floor_of(k, passed, count, rank);
}

int64_t fl_trim(const fl_kernels *k, int64_t rank, int64_t n, int32_t *ids, float *values) {
    return n <= 2 * rank + 64 ? n : k->list_keep(ids, values, n, fl_floor_of(k, values, n, rank), rank);
}
