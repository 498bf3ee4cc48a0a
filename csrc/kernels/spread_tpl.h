/* spread_tpl.h: how far the finite values of a row lie apart, and its maxima as row_scan finds them. Included once per
 * type of the row.
 *
 * A block is read without masks first; its sums and its least value tell whether it holds -inf, NaN or +inf. Then it is
 * read again. */

enum { FL_X(COUNT), FL_X(FIRST_MOMENT), FL_X(SECOND_MOMENT), FL_X(SPREAD_SUMS) };

/* Sums of d and d^2, d = x - centre, over one block's values; most and least are their extremes. */
FL_INLINE void FL_X(block_spread)(const void *x, int64_t b, vf centre, vf *sums, vf *most, vf *least) {
    vf first[4], second[4];
    for (int j = 0; j < 4; j++) first[j] = second[j] = vf_set1(0);
    *most = vf_set1(-INFINITY);
    *least = vf_set1(INFINITY);
    for (int c = 0; c < 16; c += 4)
        for (int j = 0; j < 4; j++) {
            vf v = FL_LOAD((const char *)x + (b * 16 + c + j) * FL_LANES * FL_SIZE), d = vf_sub(v, centre);
            *most = vf_max(v, *most);
            *least = vf_min(v, *least);
            first[j] = vf_add(first[j], d);
            second[j] = vf_fma(d, d, second[j]);
        }
    sums[FL_X(COUNT)] = vf_set1(16);
    sums[FL_X(FIRST_MOMENT)] = vf_sum4(first);
    sums[FL_X(SECOND_MOMENT)] = vf_sum4(second);
}

/* The same, and the number, of what is live and finite. */
FL_INLINE void FL_X(block_spread_guarded)(const void *x, int64_t n, int64_t b, const uint16_t *live, vf centre, vm *bad,
                                          vf *sums, vf *most, vf *least) {
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) sums[i] = vf_set1(0);
    *most = vf_set1(-INFINITY);
    *least = vf_set1(INFINITY);
    for (int64_t i = b * 16; i < b * 16 + 16; i++) {
        vf v = FL_X(vector_at)(x, n, i, -INFINITY);
        vm stay = vf_ge(v, vf_set1(-FLT_MAX));
        if (live) stay = vf_ge_where(i * FL_LANES < n ? vm_load(live + i) : vm_zero(), v, vf_set1(-FLT_MAX));
        vf d = vf_keep(stay, vf_sub(v, centre));
        *bad = vm_or(*bad, vf_nlt(v, vf_set1(INFINITY)));
        *most = vf_max_where(stay, v, *most);
        *least = vf_min(vf_blend(stay, v, *least), *least);
        sums[FL_X(COUNT)] = vf_add(sums[FL_X(COUNT)], vf_keep(stay, vf_set1(1)));
        sums[FL_X(FIRST_MOMENT)] = vf_add(sums[FL_X(FIRST_MOMENT)], d);
        sums[FL_X(SECOND_MOMENT)] = vf_fma(d, d, sums[FL_X(SECOND_MOMENT)]);
    }
}

/* out: their number, sum d, sum d^2, and the least of them. Non-zero where a NaN or +inf may be. */
static uint32_t FL_X(row_spread)(const void *x, int64_t n, const uint16_t *live, float centre, float *gmax, float *smax,
                                 double *out) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = live ? 0 : n / FL_BLOCK;
    vf from = vf_set1(centre), none = vf_set1(-INFINITY), least = vf_set1(INFINITY), sums[FL_X(SPREAD_SUMS)];
    vf top = none, most, low;
    vd totals[FL_X(SPREAD_SUMS)];
    vm bad = vm_zero();
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) totals[i] = vd_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vm clouded = vm_zero();
        if (b < whole) {
            FL_X(block_spread)(x, b, from, sums, &most, &low);
            clouded = vm_or(vf_gt(vf_set1(-FLT_MAX), low), vf_nlt(sums[FL_X(FIRST_MOMENT)], vf_set1(INFINITY)));
        }
        if (b >= whole || vm_bits(clouded)) FL_X(block_spread_guarded)(x, n, b, live, from, &bad, sums, &most, &low);
        for (int i = 0; i < FL_X(SPREAD_SUMS); i++) totals[i] = vd_add_f(totals[i], sums[i]);
        least = vf_min(low, least);
        vf_store_f32(gmax + b * FL_LANES, most);
        top = vf_max(most, top);
        if (b % 16 == 15 || b == blocks - 1) {
            vf_store_f32(smax + b / 16 * FL_LANES, top);
            top = none;
        }
    }
    for (int i = 0; i < FL_X(SPREAD_SUMS); i++) out[i] = vd_sum(totals[i]);
    out[FL_X(SPREAD_SUMS)] = -(double)FL_X(lanes_max)(vf_sub(vf_set1(0), least));
    return vm_bits(bad);
}
