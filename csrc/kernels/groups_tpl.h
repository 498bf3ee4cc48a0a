/* groups_tpl.h: passes over float arrays that lie beside a row (group maxima, group sums, cached exponentials). */

FL_INLINE vf float_vector_at(const float *v, int64_t n, int64_t i, float fill) {
    int64_t left = n - i * FL_LANES;
    if (left >= FL_LANES) return vf_load_f32(v + i * FL_LANES);
    return left > 0 ? vf_load_n_f32(v + i * FL_LANES, left, fill) : vf_set1(fill);
}

FL_INLINE double FL_N(sum_lanes)(vf v) { return vd_sum(vd_add_f(vd_zero(), v)); }

static int64_t FL_N(count_ge)(const float *v, int64_t n, float t) {
    int64_t whole = n / FL_LANES, count = 0;
    vf floor = vf_set1(t);
    for (int64_t i = 0; i < whole; i++)
        count += __builtin_popcount(vm_bits(vf_ge(vf_load_f32(v + i * FL_LANES), floor)));
    count += __builtin_popcount(vm_bits(vf_ge(float_vector_at(v, n, whole, -INFINITY), floor)));
    return count;
}

/* Two chains of additions: one would be waited for. */
static double FL_N(sum_all)(const float *v, int64_t n) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vd even = vd_zero(), odd = vd_zero();
    for (int64_t i = 0; i < vectors; i += 2) {
        even = vd_add_f(even, float_vector_at(v, n, i, 0));
        odd = vd_add_f(odd, float_vector_at(v, n, i + 1, 0));
    }
    return vd_sum(even) + vd_sum(odd);
}

FL_INLINE vd mass_of_8(vd s, const float *e, int64_t n, int64_t i, float t, int whole) {
    vf y[8], floor = vf_set1(t);
    for (int j = 0; j < 8; j++) {
        vf v = whole ? vf_load_f32(e + (i + j) * FL_LANES) : float_vector_at(e, n, i + j, 0);
        y[j] = vf_keep(vf_ge(v, floor), v);
    }
    return vd_add_f(s, vf_add(vf_sum4(y), vf_sum4(y + 4)));
}

/* Sum of the e >= t: eight vectors in float by pairs, then in double. */
static double FL_N(mass_ge)(const float *e, int64_t n, float t) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES, whole = n / (8 * FL_LANES) * 8;
    vd s = vd_zero();
    for (int64_t i = 0; i < whole; i += 8) s = mass_of_8(s, e, n, i, t, 1);
    for (int64_t i = whole; i < vectors; i += 8) s = mass_of_8(s, e, n, i, t, 0);
    return vd_sum(s);
}

FL_INLINE vd between_8(vd s, const float *e, int64_t n, int64_t i, vf lo, vf hi, int whole) {
    vf y[8];
    for (int j = 0; j < 8; j++) {
        vf v = whole ? vf_load_f32(e + (i + j) * FL_LANES) : float_vector_at(e, n, i + j, 0);
        y[j] = vf_keep(vm_and(vf_ge(v, lo), vf_ge(hi, v)), v);
    }
    return vd_add_f(
        s, vf_add(vf_add(vf_add(y[0], y[1]), vf_add(y[2], y[3])), vf_add(vf_add(y[4], y[5]), vf_add(y[6], y[7]))));
}

/* Sum of the e with lo <= e <= hi, added as by mass_ge. */
static double FL_N(mass_between)(const float *e, int64_t n, float lo, float hi) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES, whole = n / (8 * FL_LANES) * 8;
    vd s = vd_zero();
    for (int64_t i = 0; i < whole; i += 8) s = between_8(s, e, n, i, vf_set1(lo), vf_set1(hi), 1);
    for (int64_t i = whole; i < vectors; i += 8) s = between_8(s, e, n, i, vf_set1(lo), vf_set1(hi), 0);
    return vd_sum(s);
}

/* band: the live ones of them, one bit each. */
static void FL_N(mass_band)(const float *e, int64_t n, const uint16_t *live, float lo, float hi, uint16_t *band) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    for (int64_t i = 0; i < vectors; i++) {
        vf v = float_vector_at(e, n, i, -INFINITY);
        unsigned in = vm_bits(vm_and(vf_ge(v, vf_set1(lo)), vf_ge(vf_set1(hi), v)));
        band[i] = (uint16_t)(live ? in & live[i] : in);
    }
}

/* The same sum as that of mass_ge, with the sums by group of the e >= t beside it. */
static double FL_N(mass_groups)(const float *e, int64_t n, float t, float *gsum) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf floor = vf_set1(t);
    vd s = vd_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vf quad[4];
        for (int c = 0; c < 4; c++) {
            vf y[4];
            for (int j = 0; j < 4; j++) {
                int64_t i = b * 16 + c * 4 + j;
                vf v = b < whole ? vf_load_f32(e + i * FL_LANES) : float_vector_at(e, n, i, 0);
                y[j] = vf_keep(vf_ge(v, floor), v);
            }
            quad[c] = vf_sum4(y);
        }
        vf sum = vf_sum4(quad);
        vf_store_f32(gsum + b * FL_LANES, sum);
        s = vd_add_f(s, sum);
    }
    return vd_sum(s);
}

static void FL_N(group_exp)(const float *v, int64_t n, const fl_exp_args *a, float *e) {
    int64_t vectors = n / FL_LANES;
    vexp k = vexp_load(a);
    for (int64_t i = 0; i < vectors; i++) vf_store_f32(e + i * FL_LANES, vf_exp(&k, vf_load_f32(v + i * FL_LANES)));
}

/* rank[i]: how many of the n <= 192 values come before v[i] in the order (value descending, index ascending). */
static void FL_N(list_rank)(const double *v, int64_t n, int32_t *rank) {
    for (int64_t i = 0; i < n; i++) {
        double own = v[i];
        int64_t before = 0;
        for (int64_t j = 0; j < i; j++) before += v[j] >= own;
        for (int64_t j = i + 1; j < n; j++) before += v[j] > own;
        rank[i] = (int32_t)before;
    }
}

/* Sums of the 16 groups of each block. */
/* The largest group maximum of each block. */
static void FL_N(block_tops)(const float *gmax, int64_t groups, float *tops) {
    for (int64_t b = 0; b < groups / FL_LANES; b++) {
        float m[FL_LANES];
        vf_store_f32(m, vf_load_f32(gmax + b * FL_LANES));
        for (int half = FL_LANES / 2; half; half /= 2)
            for (int l = 0; l < half; l++) m[l] = m[l + half] > m[l] ? m[l + half] : m[l];
        tops[b] = m[0];
    }
}

static void FL_N(block_sums)(const float *gsum, int64_t groups, double *sums) {
    for (int64_t b = 0; b < groups / FL_LANES; b++)
        sums[b] = vd_sum(vd_add_f(vd_zero(), vf_load_f32(gsum + b * FL_LANES)));
}

/* Of the lanes `equal` (their values equal the floor) only the first `*equals` stay in hit; *equals counts down. */
FL_INLINE unsigned FL_N(limit_equals)(unsigned hit, unsigned equal, int64_t *equals) {
    while ((int64_t)__builtin_popcount(equal) > *equals) {
        unsigned last = 1u << (31 - __builtin_clz(equal));
        equal ^= last;
        hit ^= last;
    }
    *equals -= __builtin_popcount(equal);
    return hit;
}

/* Of n values beside their ids those above the floor stay and the first `equals` equal to it, in place and in order; both
 * arrays have room for 16 more. Returns how many stayed. */
static int64_t FL_N(list_keep)(int32_t *ids, float *values, int64_t n, float floor, int64_t equals) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES, count = 0;
    vf level = vf_set1(floor);
    for (int64_t i = 0; i < vectors; i++) {
        vf v = float_vector_at(values, n, i, -INFINITY);
        unsigned hit = vm_bits(vf_ge(v, level)), equal = hit & ~vm_bits(vf_gt(v, level));
        if (equal) hit = FL_N(limit_equals)(hit, equal, &equals);
        vf_compress(values + count, hit, v);
        vec_compress_ints(ids + count, hit, ids + i * FL_LANES);
        count += __builtin_popcount(hit);
    }
    return count;
}
