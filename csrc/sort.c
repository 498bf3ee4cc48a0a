/* sort.c: order by (value descending, index ascending). */
#include "internal.h"

typedef struct {
    uint64_t key; /* ascending */
    uint32_t index;
} item;

enum { DIGIT = 11, BUCKETS = 1 << DIGIT };

/* Doubles as unsigned integers of reversed order; -0 counts as +0. */
static uint64_t descending(double v) {
    uint64_t u;
    v += 0.0;
    memcpy(&u, &v, 8);
    return u >> 63 ? u : ~u & ~((uint64_t)1 << 63);
}

/* One stable pass over digit `shift`; returns 0 if all items share it. */
static int radix_pass(const item *from, item *to, int64_t n, int shift) {
    uint32_t at[BUCKETS] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++) at[from[i].key >> shift & (BUCKETS - 1)]++;
    if (at[from[0].key >> shift & (BUCKETS - 1)] == n) return 0;
    for (int b = 0; b < BUCKETS; b++) {
        uint32_t count = at[b];
        at[b] = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++) to[at[from[i].key >> shift & (BUCKETS - 1)]++] = from[i];
    return 1;
}

static int sort_by_digits(fl_scratch *s, const double *v, int64_t n, int32_t *order) {
    item *a = fl_buffer(s, FL_BUF_SORT, (size_t)n * 2 * sizeof(item)), *b = a + n;
    if (!a) return -1;
    uint64_t differ = 0, first = descending(v[0]);
    for (int64_t i = 0; i < n; i++) {
        a[i] = (item){descending(v[i]), (uint32_t)i};
        differ |= a[i].key ^ first;
    }
    /* Digits start at the lowest bit in which any two keys differ: floats differ in the upper 35 bits alone. */
    for (int shift = differ ? __builtin_ctzll(differ) : 64; shift < 64; shift += DIGIT) {
        if (!radix_pass(a, b, n, shift)) continue;
        item *swap = a;
        a = b;
        b = swap;
    }
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)a[i].index;
    return 0;
}

int fl_sort_descending(const fl_kernels *k, fl_scratch *s, const double *v, int64_t n, int32_t *order) {
    if (n > 192) return sort_by_digits(s, v, n, order);
    int32_t rank[192];
    k->list_rank(v, n, rank);
    for (int64_t i = 0; i < n; i++) order[rank[i]] = (int32_t)i;
    return 0;
}
