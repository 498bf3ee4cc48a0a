/* mean_tpl.h: one read of a row for what steps ask of its shape: group maxima, group sums of e = exp(x / T) 2^-N and of
 * e (x - centre). Single exponentials are exact to 2 ulp. Included once per type of the row.
 *
 * A block is read without masks first. Its least value and its sums tell whether it needed any (values without mass, NaN,
 * +inf); then it is read again. */

/* guarded: what is not live or lies below k->least has no part in the sums, and bad takes every NaN and +inf. */
FL_INLINE void FL_X(vector_mean)(const void *x, int64_t n, int64_t i, const uint16_t *live, const vexp *k, vf centre,
                                 vm *bad, vf *most, vf *least, vf *sum, vf *first, float *e, int guarded) {
    vf v = guarded ? FL_X(vector_at)(x, n, i, -INFINITY) : FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE);
    vf y = vexp_raw(k, v, 1), d = vf_sub(v, centre);
    if (!guarded) {
        *most = vf_max(v, *most);
        *least = vf_min(v, *least);
    } else {
        vm here = vf_ge(v, v);
        if (live) here = i * FL_LANES < n ? vm_load(live + i) : vm_zero();
        vm stay = vf_ge_where(here, v, k->least);
        y = vf_keep(stay, y);
        d = vf_keep(stay, d);
        *most = vf_max_where(here, v, *most);
        *bad = vm_or(*bad, vf_nlt(v, vf_set1(INFINITY)));
    }
    if (e && (!guarded || n - i * FL_LANES >= FL_LANES))
        vf_store_f32(e + i * FL_LANES, y);
    else if (e && n > i * FL_LANES)
        vf_store_n_f32(e + i * FL_LANES, n - i * FL_LANES, y);
    *sum = vf_add(*sum, y);
    *first = vf_fma(y, d, *first);
}

/* The lane sums of a block, four by four vectors. */
FL_INLINE void FL_X(block_mean)(const void *x, int64_t n, int64_t b, const uint16_t *live, const vexp *k, vf centre,
                                vm *bad, vf *most, vf *least, vf *mass, vf *moment, float *e, int guarded) {
    vf sum[4], first[4];
    for (int j = 0; j < 4; j++) sum[j] = first[j] = vf_set1(0);
    *most = vf_set1(-INFINITY);
    *least = vf_set1(INFINITY);
    for (int c = 0; c < 16; c += 4) {
        __builtin_prefetch((const char *)x + ((b * 16 + c) * FL_LANES + FL_LANES) * FL_SIZE + FL_X(AHEAD));
        for (int j = 0; j < 4; j++)
            FL_X(vector_mean)(x, n, b * 16 + c + j, live, k, centre, bad, most, least, sum + j, first + j, e, guarded);
    }
    *mass = vf_sum4(sum);
    *moment = vf_sum4(first);
}

FL_INLINE uint32_t FL_X(mean_body)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float centre,
                                   float *gmax, float *gsum, float *first, float *e) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = live ? 0 : n / FL_BLOCK;
    vexp k = vexp_load(a);
    vf from = vf_set1(centre), most, least, mass = vf_set1(0.0f), moment = mass;
    vm bad = vm_zero();
    uint32_t part = 0;
    for (int64_t b = 0; b < blocks; b++) {
        vm clouded = vm_zero();
        if (b < whole) {
            FL_X(block_mean)(x, n, b, NULL, &k, from, &bad, &most, &least, &mass, &moment, e, 0);
            clouded = vm_or(vf_gt(k.least, least), vf_nlt(moment, vf_set1(INFINITY)));
            part |= vm_bits(clouded) != 0;
        }
        if (b >= whole || vm_bits(clouded))
            FL_X(block_mean)(x, n, b, live, &k, from, &bad, &most, &least, &mass, &moment, e, 1);
        vf_store_f32(gmax + b * FL_LANES, most);
        vf_store_f32(gsum + b * FL_LANES, mass);
        vf_store_f32(first + b * FL_LANES, moment);
    }
    return vm_bits(bad) | part << 16;
}

/* e: NULL, or it takes the exponentials. The lower 16 bits are set where NaN or +inf may be, the next one if values
 * without a mass were met in blocks of 256. */
static uint32_t FL_X(row_mean)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float centre,
                               float *gmax, float *gsum, float *first, float *e) {
    if (e) return FL_X(mean_body)(x, n, live, a, centre, gmax, gsum, first, e);
    return FL_X(mean_body)(x, n, live, a, centre, gmax, gsum, first, NULL);
}

/* Group sums of the exponentials of one block, c1 to c3 and 1 being the polynomial; map: of exp(d^2 (k + s d)), where
 * d = x - map[0], k = map[1] and s = map[2]. */
FL_INLINE vf FL_X(block_again)(const void *x, int64_t n, int64_t b, const uint16_t *live, const vexp *k, const vf *map,
                               int whole) {
    vf sum[4];
    for (int j = 0; j < 4; j++) sum[j] = vf_set1(0);
    for (int c = 0; c < 16; c += 4)
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c + j;
            vf v = whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
            if (map) {
                vf d = vf_sub(v, map[0]);
                v = vf_mul(vf_mul(d, d), vf_fma(map[2], d, map[1]));
            }
            vm stay = vf_ge(v, k->least);
            if (live) stay = vf_ge_where(whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero(), v, k->least);
            vf p, top = vexp_factors(k, v, &p);
            sum[j] = vf_fma(vf_keep(stay, top), vf_keep(stay, p), sum[j]);
        }
    return vf_sum4(sum);
}

FL_INLINE void FL_X(again_body)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, const float *map,
                                float *gsum) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vexp k = vexp_load(a);
    vf held[3];
    for (int i = 0; i < 3; i++) held[i] = vf_set1(map ? map[i] : 0);
    for (int64_t b = 0; b < whole; b++)
        vf_store_f32(gsum + b * FL_LANES, FL_X(block_again)(x, n, b, live, &k, map ? held : NULL, 1));
    for (int64_t b = whole; b < blocks; b++)
        vf_store_f32(gsum + b * FL_LANES, FL_X(block_again)(x, n, b, live, &k, map ? held : NULL, 0));
}

/* Group sums of a row that was read before, whose NaN and maxima are known. map: NULL, or three numbers. */
static void FL_X(row_again)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, const float *map,
                            float *gsum) {
    if (map) {
        FL_X(again_body)(x, n, live, a, map, gsum);
    } else if (live) {
        FL_X(again_body)(x, n, live, a, NULL, gsum);
    } else {
        FL_X(again_body)(x, n, NULL, a, NULL, gsum);
    }
}
