/* spread_tpl.h: how far the finite values of a row lie apart. Included once per type of the row. */

enum { FL_X(COUNT), FL_X(FIRST_MOMENT), FL_X(SECOND_MOMENT), FL_X(SPREAD_SUMS) };

/* Sums of 1, d and d^2, d = x - centre, over one block's live finite values; least takes the largest -x. */
FL_INLINE void FL_X(block_spread)(const void *x, int64_t n, int64_t b, const uint16_t *live, vf centre, vf *sums,
                                  vf *least, int whole) {
    vf one = vf_set1(1.0f), finite = vf_set1(-FLT_MAX), zero = vf_set1(0.0f);
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) sums[i] = zero;
    for (int j = 0; j < 16; j++) {
        int64_t i = b * 16 + j;
        vf v = whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
        vm stay;
        if (live)
            stay = vf_ge_where(whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero(), v, finite);
        else
            stay = vf_ge(v, finite);
        vf d = vf_keep(stay, vf_sub(v, centre));
        sums[FL_X(COUNT)] = vf_add(sums[FL_X(COUNT)], vf_keep(stay, one));
        sums[FL_X(FIRST_MOMENT)] = vf_add(sums[FL_X(FIRST_MOMENT)], d);
        sums[FL_X(SECOND_MOMENT)] = vf_fma(d, d, sums[FL_X(SECOND_MOMENT)]);
        *least = vf_max_where(stay, vf_sub(zero, v), *least);
    }
}

/* out: their number, sum d, sum d^2, and the least of them. */
static void FL_X(row_spread)(const void *x, int64_t n, const uint16_t *live, float centre, double *out) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf from = vf_set1(centre), least = vf_set1(-INFINITY), sums[FL_X(SPREAD_SUMS)];
    vd totals[FL_X(SPREAD_SUMS)];
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) totals[i] = vd_zero();
    for (int64_t b = 0; b < blocks; b++) {
        if (b < whole)
            FL_X(block_spread)(x, n, b, live, from, sums, &least, 1);
        else
            FL_X(block_spread)(x, n, b, live, from, sums, &least, 0);
        for (int i = 0; i < FL_X(SPREAD_SUMS); i++) totals[i] = vd_add_f(totals[i], sums[i]);
    }
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) out[i] = vd_sum(totals[i]);
    out[FL_X(SPREAD_SUMS)] = -(double)FL_X(lanes_max)(least);
}
