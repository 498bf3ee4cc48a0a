/* sort.c: order by (value descending, index ascending). */
#include "rows/sort.h"
#include <string.h>

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

/* Floats as unsigned integers of reversed order; -0 counts as +0. */
static uint32_t descending_image(double v) {
    float a = (float)v + 0.0f;
    uint32_t u;
    memcpy(&u, &a, 4);
    return u >> 31 ? u : ~u & 0x7fffffff;
}

/* One stable pass over `bits` bits of the upper halves from `shift` on. */
static void image_pass(const uint64_t *from, uint64_t *to, int64_t n, int shift, int bits) {
    uint32_t at[1 << MOST_BITS], sum = 0, last = (1u << bits) - 1;
    memset(at, 0, sizeof(uint32_t) << bits);
    for (int64_t i = 0; i < n; i++) at[from[i] >> shift & last]++;
    for (uint32_t b = 0; b <= last; b++) {
        uint32_t count = at[b];
        at[b] = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++) to[at[from[i] >> shift & last]++] = from[i];
}

/* Values whose float images are equal come in order of index: moved by their doubles. 0 if some would move far. */
static int settle_images(const double *v, int64_t n, int32_t *order) {
    for (int64_t i = 1; i < n; i++) {
        int32_t own = order[i];
        int64_t to = i;
        for (; to > 0 && v[order[to - 1]] < v[own]; to--) {
            if (i - to > 16) return 0;
            order[to] = order[to - 1];
        }
        order[to] = own;
    }
    return 1;
}

/* By float images, whose digits are half as many, then by what the images leave open. 1 if that was enough. */
static int sort_by_images(fl_scratch *s, const double *v, int64_t n, int32_t *order) {
    uint64_t *a = fl_buffer(s, FL_BUF_SORT, (size_t)n * 2 * sizeof(uint64_t)), *b = a + n;
    if (!a) return -1;
    uint32_t differ = 0, first = descending_image(v[0]);
    for (int64_t i = 0; i < n; i++) {
        uint32_t image = descending_image(v[i]);
        a[i] = (uint64_t)image << 32 | (uint64_t)i;
        differ |= image ^ first;
    }
    int low = differ ? __builtin_ctz(differ) : 0, wide = differ ? 32 - __builtin_clz(differ) - low : 0;
    int most = n < 4096 ? 9 : MOST_BITS, passes = (wide + most - 1) / most,
        bits = passes ? (wide + passes - 1) / passes : 0;
    for (int pass = 0; pass < passes; pass++) {
        image_pass(a, b, n, 32 + low + pass * bits, bits);
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)(uint32_t)a[i];
    return settle_images(v, n, order);
}

int fl_sort_descending(const fl_kernels *k, fl_scratch *s, const double *v, int64_t n, int32_t *order) {
    if (n > 96) {
        int done = sort_by_images(s, v, n, order);
        return done > 0 ? 0 : done < 0 ? -1 : sort_by_digits(s, v, n, order);
    }
    int32_t rank[96];
    memset(order, 0, (size_t)n * sizeof(int32_t)); /* NaN has no rank of its own */
    k->list_rank(v, n, rank);
    for (int64_t i = 0; i < n; i++) order[rank[i]] = (int32_t)i;
    return 0;
}
