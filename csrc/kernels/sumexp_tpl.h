/* sumexp_tpl.h: one read of a row for its exponentials: group sums, group maxima, NaN check and, where they are wanted,
 * the exponentials themselves or the group sums of their moments. Included once per type of the row. */

/* Bytes from a value to the one fetched into the cache beside it: rows from memory then cost little more than a plain
 * scan. The end of a row fetches the beginning of the next. */
enum { FL_X(AHEAD) = 2048 };

/* moments: NULL, or e, e d and e d^2 are summed for d = x - centre. */
FL_INLINE void FL_X(block_sumexp)(const void *x, int64_t n, int64_t b, const uint16_t *live, const vexp *k, vm *bad,
                                  float *gmax, float *gsum, float *e, const fl_moments_args *moments, int whole) {
    vf m = vf_set1(-INFINITY), seen[4], quad[4], first[4], second[4], sum;
    for (int c = 0; c < 4; c++) {
        vf y[4], v[4], z[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c * 4 + j;
            const char *p = (const char *)x + i * FL_LANES * FL_SIZE;
            v[j] = whole ? FL_LOAD(p) : FL_X(vector_at)(x, n, i, -INFINITY);
            if (j * FL_LANES * FL_SIZE % 64 == 0) __builtin_prefetch(p + FL_X(AHEAD));
        }
        if (live) seen[c] = vf_sum4(v);
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c * 4 + j;
            vm stay;
            if (live) {
                vm here = whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero();
                m = vf_max_where(here, v[j], m);
                stay = vf_ge_where(here, v[j], k->least);
            } else {
                m = vf_max(v[j], m);
                stay = vf_nlt(v[j], k->least); /* NaN stays, and the sum tells of it */
            }
            y[j] = vexp_run(k, stay, v[j], 0);
            if (moments) {
                vf d = vf_keep(stay, vf_sub(v[j], vf_set1(moments->centre)));
                z[j] = vf_mul(y[j], d);
                second[c] = j ? vf_fma(z[j], d, second[c]) : vf_mul(z[j], d);
            }
            if (e) {
                int64_t left = n - i * FL_LANES;
                if (whole || left >= FL_LANES)
                    vf_store_f32(e + i * FL_LANES, y[j]);
                else if (left > 0)
                    vf_store_n_f32(e + i * FL_LANES, left, y[j]);
            }
        }
        quad[c] = vf_sum4(y);
        if (moments) first[c] = vf_sum4(z);
    }
    sum = vf_sum4(quad);
    *bad = vm_or(*bad, vf_nlt(live ? vf_sum4(seen) : sum, vf_set1(INFINITY)));
    vf_store_f32(gmax + b * FL_LANES, m);
    vf_store_f32(gsum + b * FL_LANES, sum);
    if (!moments) return;
    vf_store_f32(moments->first + b * FL_LANES, vf_sum4(first));
    vf_store_f32(moments->second + b * FL_LANES, vf_sum4(second));
}

FL_INLINE uint32_t FL_X(sumexp_body)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float *gmax,
                                     float *gsum, float *e, const fl_moments_args *moments) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vexp k = vexp_load(a);
    vm bad = vm_zero();
    for (int64_t b = 0; b < whole; b++) FL_X(block_sumexp)(x, n, b, live, &k, &bad, gmax, gsum, e, moments, 1);
    for (int64_t b = whole; b < blocks; b++) FL_X(block_sumexp)(x, n, b, live, &k, &bad, gmax, gsum, e, moments, 0);
    return vm_bits(bad);
}

static uint32_t FL_X(row_sumexp)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float *gmax,
                                 float *gsum, float *e) {
    if (live) {
        if (e) return FL_X(sumexp_body)(x, n, live, a, gmax, gsum, e, NULL);
        return FL_X(sumexp_body)(x, n, live, a, gmax, gsum, NULL, NULL);
    }
    if (e) return FL_X(sumexp_body)(x, n, NULL, a, gmax, gsum, e, NULL);
    return FL_X(sumexp_body)(x, n, NULL, a, gmax, gsum, NULL, NULL);
}

/* row_sumexp with the group sums of the moments beside it. */
static uint32_t FL_X(row_moments)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a,
                                  const fl_moments_args *moments, float *gmax, float *gsum) {
    const fl_moments_args own = *moments; /* compilers know that it is there */
    if (live) return FL_X(sumexp_body)(x, n, live, a, gmax, gsum, NULL, &own);
    return FL_X(sumexp_body)(x, n, NULL, a, gmax, gsum, NULL, &own);
}

FL_INLINE void FL_X(block_cut_mass)(const void *x, const float *e, int64_t n, int64_t b, vf floor, float *gsum,
                                    float *kept, int whole) {
    vf quad[4];
    for (int c = 0; c < 4; c++) {
        vf y[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c * 4 + j, left = n - i * FL_LANES;
            vf v = whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
            y[j] = vf_keep(vf_ge(v, floor), whole ? vf_load_f32(e + i * FL_LANES) : float_vector_at(e, n, i, 0));
            if (kept && (whole || left >= FL_LANES))
                vf_store_f32(kept + i * FL_LANES, y[j]);
            else if (kept && left > 0)
                vf_store_n_f32(kept + i * FL_LANES, left, y[j]);
        }
        quad[c] = vf_sum4(y);
    }
    vf_store_f32(gsum + b * FL_LANES, vf_sum4(quad));
}

/* Group sums of the exponentials e of the values >= lo; kept, unless NULL, takes those exponentials and 0 for the
 * others (it may be e). */
static void FL_X(row_cut_mass)(const void *x, const float *e, int64_t n, float lo, float *gsum, float *kept) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf floor = vf_set1(lo);
    for (int64_t b = 0; b < whole; b++) FL_X(block_cut_mass)(x, e, n, b, floor, gsum, kept, 1);
    for (int64_t b = whole; b < blocks; b++) FL_X(block_cut_mass)(x, e, n, b, floor, gsum, kept, 0);
}
