/* scan_tpl.h: passes that read a row once for its maxima. Included once per type of the row. */

/* Vector i of a row of n values; what lies beyond n reads as fill. */
FL_INLINE vf FL_X(vector_at)(const void *x, int64_t n, int64_t i, float fill) {
    int64_t left = n - i * FL_LANES;
    const char *p = (const char *)x + i * FL_LANES * FL_SIZE;
    if (left >= FL_LANES) return FL_LOAD(p);
    return left > 0 ? FL_LOAD_N(p, left, fill) : vf_set1(fill);
}

FL_INLINE float FL_X(lanes_max)(vf v) {
    float w[FL_LANES], m;
    vf_store_f32(w, v);
    m = w[0];
    for (int l = 1; l < FL_LANES; l++) m = w[l] > m ? w[l] : m;
    return m;
}

/* The plain read-once pass: the unit of the benchmarks. NaN is ignored. */
static float FL_X(row_max)(const void *x, int64_t n) {
    vf m[8];
    const char *p = x;
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES, whole = n / (8 * FL_LANES);
    for (int j = 0; j < 8; j++) m[j] = vf_set1(-INFINITY);
    for (int64_t b = 0; b < whole; b++)
        for (int j = 0; j < 8; j++) m[j] = vf_max(FL_LOAD(p + (8 * b + j) * FL_LANES * FL_SIZE), m[j]);
    for (int64_t i = whole * 8; i < vectors; i++) m[0] = vf_max(FL_X(vector_at)(x, n, i, -INFINITY), m[0]);
    for (int j = 1; j < 8; j++) m[0] = vf_max(m[j], m[0]);
    return FL_X(lanes_max)(m[0]);
}

/* The largest of 16 vectors spread over the row: a first guess of its maximum. */
static float FL_X(row_guess)(const void *x, int64_t n) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES, step = (vectors + 15) / 16;
    vf m = vf_set1(-INFINITY);
    for (int64_t i = 0; i < vectors; i += step) m = vf_max(FL_X(vector_at)(x, n, i, -INFINITY), m);
    return FL_X(lanes_max)(m);
}

/* Maxima of one block's groups. bad collects the lanes whose sum over four vectors is NaN or +inf, and thereby every NaN
 * and +inf, live or not (sums of huge finite values may trip it too: whoever sees it looks at the values). */
FL_INLINE vf FL_X(block_max)(const void *x, int64_t n, int64_t b, const uint16_t *live, vm *bad, int whole) {
    vf m = vf_set1(-INFINITY), m2 = m;
    for (int c = 0; c < 16; c += 4) {
        vf v[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c + j;
            v[j] = whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
        }
        *bad = vm_or(*bad, vf_nlt(vf_sum4(v), vf_set1(INFINITY)));
        for (int j = 0; j < 4; j += 2) {
            int64_t i = b * 16 + c + j;
            if (live) {
                m = vf_max_where(whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero(), v[j], m);
                m2 = vf_max_where(whole || (i + 1) * FL_LANES < n ? vm_load(live + i + 1) : vm_zero(), v[j + 1], m2);
            } else {
                m = vf_max(v[j], m);
                m2 = vf_max(v[j + 1], m2);
            }
        }
    }
    return vf_max(m, m2);
}

FL_INLINE uint32_t FL_X(scan_body)(const void *x, int64_t n, const uint16_t *live, float *gmax, float *smax) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf none = vf_set1(-INFINITY), top = none;
    vm bad = vm_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vf m = b < whole ? FL_X(block_max)(x, n, b, live, &bad, 1) : FL_X(block_max)(x, n, b, live, &bad, 0);
        vf_store_f32(gmax + b * FL_LANES, m);
        top = vf_max(m, top);
        if (b % 16 == 15 || b == blocks - 1) {
            vf_store_f32(smax + b / 16 * FL_LANES, top);
            top = none;
        }
    }
    return vm_bits(bad);
}

static uint32_t FL_X(row_scan)(const void *x, int64_t n, const uint16_t *live, float *gmax, float *smax) {
    return live ? FL_X(scan_body)(x, n, live, gmax, smax) : FL_X(scan_body)(x, n, NULL, gmax, smax);
}

/* How many live values are >= t. */
static int64_t FL_X(row_count)(const void *x, int64_t n, const uint16_t *live, float t) {
    int64_t whole = n / FL_LANES, count = 0;
    const char *p = x;
    vf floor = vf_set1(t);
    for (int64_t i = 0; i < whole; i++) {
        unsigned hit = vm_bits(vf_ge(FL_LOAD(p + i * FL_LANES * FL_SIZE), floor));
        count += __builtin_popcount(live ? hit & live[i] : hit);
    }
    if (n % FL_LANES) {
        unsigned hit = vm_bits(vf_ge(FL_X(vector_at)(x, n, whole, -INFINITY), floor));
        count += __builtin_popcount(live ? hit & live[whole] : hit);
    }
    return count;
}

static void FL_X(row_widen)(const void *x, int64_t n, double *wide) {
    for (int64_t at = 0; at < n; at += FL_LANES) {
        float v[FL_LANES];
        vf_store_f32(v, FL_X(vector_at)(x, n, at / FL_LANES, 0));
        for (int64_t l = 0; l < FL_LANES && at + l < n; l++) wide[at + l] = (double)v[l];
    }
}
