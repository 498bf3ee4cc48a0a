/* sort.c: order by (value descending, index ascending). */
#include "internal.h"

typedef struct {
    uint64_t key; /* ascending */
    uint32_t index;
} item;

enum { MOST_BITS = 11 };

/* Doubles as unsigned integers of reversed order; -0 counts as +0. */
static uint64_t descending(double v) {
    uint64_t u;
    v += 0.0;
    memcpy(&u, &v, 8);
    return u >> 63 ? u : ~u & ~((uint64_t)1 << 63);
}

/* One stable pass over `bits` bits from `shift` on. */
static void radix_pass(const item *from, item *to, int64_t n, int shift, int bits) {
    uint32_t at[1 << MOST_BITS], sum = 0, last = (1u << bits) - 1;
    memset(at, 0, sizeof(uint32_t) << bits);
    for (int64_t i = 0; i < n; i++) at[from[i].key >> shift & last]++;
    for (uint32_t b = 0; b <= last; b++) {
        uint32_t count = at[b];
        at[b] = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++) to[at[from[i].key >> shift & last]++] = from[i];
}

static int sort_by_digits(fl_scratch *s, const double *v, int64_t n, int32_t *order) {
    item *a = fl_buffer(s, FL_BUF_SORT, (size_t)n * 2 * sizeof(item)), *b = a + n;
    if (!a) return -1;
    uint64_t differ = 0, first = descending(v[0]);
    for (int64_t i = 0; i < n; i++) {
        a[i] = (item){descending(v[i]), (uint32_t)i};
        differ |= a[i].key ^ first;
    }
    /* Only the bits in which keys differ are sorted by, in equal digits: short lists get small ones. */
    int low = differ ? __builtin_ctzll(differ) : 0, wide = differ ? 64 - __builtin_clzll(differ) - low : 0;
    int most = n < 4096 ? 8 : MOST_BITS, passes = (wide + most - 1) / most,
        bits = passes ? (wide + passes - 1) / passes : 0;
    for (int pass = 0; pass < passes; pass++) {
        radix_pass(a, b, n, low + pass * bits, bits);
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
