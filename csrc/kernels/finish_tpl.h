/* finish_tpl.h: passes that write a row. Included once per type: the type of the input for row_log, of the output for
 * row_scale, of both for row_filter. scale and shift are pairs high + low part. */

#define FL_STORE_AT(out, i, n, v)                                                                                      \
    do {                                                                                                               \
        int64_t left_ = (n) - (i) * FL_LANES;                                                                          \
        char *to_ = (char *)(out) + (i) * FL_LANES * FL_SIZE;                                                          \
        if (left_ >= FL_LANES)                                                                                         \
            FL_STORE(to_, v);                                                                                          \
        else                                                                                                           \
            FL_STORE_N(to_, left_, v);                                                                                 \
    } while (0)

/* out = e (scale[0] + scale[1]), 0 where e < least. */
static void FL_X(row_scale)(const float *e, int64_t n, const float *scale, float least, void *out) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vf hi = vf_set1(scale[0]), lo = vf_set1(scale[1]), floor = vf_set1(least);
    for (int64_t i = 0; i < vectors; i++) {
        vf y = float_vector_at(e, n, i, 0);
        y = vf_keep(vf_ge(y, floor), y);
        y = vf_fma(y, hi, vf_mul(y, lo));
        FL_STORE_AT(out, i, n, y);
    }
}

/* out = x (scale[0] + scale[1]) - (shift[0] + shift[1]), the large parts first in one rounding. */
static void FL_X(row_log)(const void *x, int64_t n, const float *scale, const float *shift, float *out) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vf s0 = vf_set1(scale[0]), s1 = vf_set1(scale[1]), d0 = vf_set1(-shift[0]), d1 = vf_set1(-shift[1]);
    vf finite = vf_set1(-FLT_MAX);
    for (int64_t i = 0; i < vectors; i++) {
        vf v = FL_X(vector_at)(x, n, i, 0);
        vf rest = vf_keep(vf_ge(v, finite), vf_fma(v, s1, d1)); /* -inf has no rest */
        vf y = vf_add(vf_fma(v, s0, d0), rest);
        int64_t left = n - i * FL_LANES;
        if (left >= FL_LANES)
            vf_store_f32(out + i * FL_LANES, y);
        else
            vf_store_n_f32(out + i * FL_LANES, left, y);
    }
}

/* out = x (scale[0] + scale[1]) where live and x >= lo, else -inf; shift, if not NULL, is taken off as in row_log. */
static void FL_X(row_filter)(const void *x, int64_t n, const uint16_t *live, const float *scale, const float *shift,
                             float lo, void *out) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vf hi = vf_set1(scale[0]), low = vf_set1(scale[1]), floor = vf_set1(lo), none = vf_set1(-INFINITY);
    vf d0 = vf_set1(shift ? -shift[0] : 0.0f), d1 = vf_set1(shift ? -shift[1] : 0.0f);
    for (int64_t i = 0; i < vectors; i++) {
        vf v = FL_X(vector_at)(x, n, i, 0);
        vm stay = live ? vf_ge_where(vm_load(live + i), v, floor) : vf_ge(v, floor);
        vf y = shift ? vf_add(vf_fma(v, hi, d0), vf_fma(v, low, d1)) : vf_fma(v, hi, vf_mul(v, low));
        y = vf_blend(stay, y, none);
        FL_STORE_AT(out, i, n, y);
    }
}
#undef FL_STORE_AT
