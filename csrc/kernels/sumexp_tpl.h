/* sumexp_tpl.h: one read of a row for its exponentials: group sums, group maxima, NaN check and, if e is wanted, the
 * exponentials themselves. Included once per type of the row. */

FL_INLINE void FL_X(block_sumexp)(const void *x, int64_t n, int64_t b, const uint16_t *live, const vexp *k, vm *bad,
                                  float *gmax, float *gsum, float *e, int whole) {
    vf m = vf_set1(-INFINITY), quad[4];
    for (int c = 0; c < 4; c++) {
        vf y[4], v[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c * 4 + j;
            v[j] = whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
        }
        *bad = vm_or(*bad, vf_nlt(vf_add(vf_add(v[0], v[1]), vf_add(v[2], v[3])), vf_set1(INFINITY)));
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c * 4 + j;
            if (live) {
                vm here = whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero();
                m = vf_max_where(here, v[j], m);
                y[j] = vf_exp_where(k, here, v[j]);
            } else {
                m = vf_max(v[j], m);
                y[j] = vf_exp(k, v[j]);
            }
            if (e) {
                int64_t left = n - i * FL_LANES;
                if (whole || left >= FL_LANES)
                    vf_store_f32(e + i * FL_LANES, y[j]);
                else if (left > 0)
                    vf_store_n_f32(e + i * FL_LANES, left, y[j]);
            }
        }
        quad[c] = vf_add(vf_add(y[0], y[1]), vf_add(y[2], y[3]));
    }
    vf_store_f32(gmax + b * FL_LANES, m);
    vf_store_f32(gsum + b * FL_LANES, vf_add(vf_add(quad[0], quad[1]), vf_add(quad[2], quad[3])));
}

FL_INLINE uint32_t FL_X(sumexp_body)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float *gmax,
                                     float *gsum, float *e) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vexp k = vexp_load(a);
    vm bad = vm_zero();
    for (int64_t b = 0; b < whole; b++) FL_X(block_sumexp)(x, n, b, live, &k, &bad, gmax, gsum, e, 1);
    for (int64_t b = whole; b < blocks; b++) FL_X(block_sumexp)(x, n, b, live, &k, &bad, gmax, gsum, e, 0);
    return vm_bits(bad);
}

static uint32_t FL_X(row_sumexp)(const void *x, int64_t n, const uint16_t *live, const fl_exp_args *a, float *gmax,
                                 float *gsum, float *e) {
    if (live) {
        if (e) return FL_X(sumexp_body)(x, n, live, a, gmax, gsum, e);
        return FL_X(sumexp_body)(x, n, live, a, gmax, gsum, NULL);
    }
    if (e) return FL_X(sumexp_body)(x, n, NULL, a, gmax, gsum, e);
    return FL_X(sumexp_body)(x, n, NULL, a, gmax, gsum, NULL);
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
        quad[c] = vf_add(vf_add(y[0], y[1]), vf_add(y[2], y[3]));
    }
    vf_store_f32(gsum + b * FL_LANES, vf_add(vf_add(quad[0], quad[1]), vf_add(quad[2], quad[3])));
}

/* Group sums of the exponentials e of the values >= lo; kept, unless NULL, takes those exponentials and 0 for the
 * others (it may be e). */
static void FL_X(row_cut_mass)(const void *x, const float *e, int64_t n, float lo, float *gsum, float *kept) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf floor = vf_set1(lo);
    for (int64_t b = 0; b < whole; b++) FL_X(block_cut_mass)(x, e, n, b, floor, gsum, kept, 1);
    for (int64_t b = whole; b < blocks; b++) FL_X(block_cut_mass)(x, e, n, b, floor, gsum, kept, 0);
}
