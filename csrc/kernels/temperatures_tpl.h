/* temperatures_tpl.h: one read of a row for its mass at `count` inverse temperatures d, 2d, 3d ... or 4d, 5d, 6d ...:
 * one exponential, exp(d x), and a product for each further temperature; and for its first moment at one of them.
 * Included once per type of the row.
 *
 * Sums run over 16 lanes, four vectors at a time within a block, and over blocks in double. The block that holds the
 * first maximum is left out: its caller sums it in double, so that nothing ever has to be subtracted. A block is held
 * back while its maximum is the largest so far. */

enum { FL_X(SUMS) = FL_TEMPERATURES + 1 }; /* the masses, then the moment at number FL_MIDDLE */

FL_INLINE void FL_X(tempered_add)(vd *total, const vf *sums, int count) {
    for (int k = 0; k < count; k++) total[k] = vd_add_f(total[k], sums[k]);
    if (count > FL_MIDDLE) total[FL_TEMPERATURES] = vd_add_f(total[FL_TEMPERATURES], sums[FL_TEMPERATURES]);
}

/* Four vectors' part of the lane sums. Values below unit->least have no mass; NaN and +inf make every sum NaN. */
FL_EXP_INLINE void FL_X(quad_tempered)(const vf *v, const vf *centre, const vexp *unit, vf *sums, int count,
                                       int fourth) {
    vf e[4], step[4];
    for (int j = 0; j < 4; j++) {
        e[j] = step[j] = vexp_run(unit, vf_nlt(v[j], unit->least), v[j], 0);
        if (fourth) {
            vf square = vf_mul(step[j], step[j]);
            e[j] = vf_mul(square, square);
        }
    }
    for (int k = 0; k < count; k++) {
        for (int j = 0; j < 4; j++) {
            if (k) e[j] = vf_mul(e[j], step[j]);
            if (k == FL_MIDDLE) {
                vf far = vf_sub(vf_max(v[j], unit->least), *centre);
                sums[FL_TEMPERATURES] = vf_fma(e[j], far, sums[FL_TEMPERATURES]);
            }
        }
        sums[k] = vf_add(sums[k], vf_sum4(e));
    }
}

/* Lane sums of one block; returns its lane maxima. */
FL_INLINE vf FL_X(block_tempered)(const void *x, int64_t n, int64_t b, vf centre, const vexp *unit, vm *bad, vf *sums,
                                  int whole, int count, int fourth) {
    vf top = vf_set1(-INFINITY);
    for (int k = 0; k < FL_X(SUMS); k++) sums[k] = vf_set1(0);
    for (int c = 0; c < 16; c += 4) {
        vf v[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c + j;
            const char *p = (const char *)x + i * FL_LANES * FL_SIZE;
            v[j] = whole ? FL_LOAD(p) : FL_X(vector_at)(x, n, i, -INFINITY);
            if (j * FL_LANES * FL_SIZE % 64 == 0) __builtin_prefetch(p + FL_X(AHEAD));
            top = vf_max(v[j], top);
        }
        FL_X(quad_tempered)(v, &centre, unit, sums, count, fourth);
    }
    *bad = vm_or(*bad, vf_nlt(sums[0], vf_set1(INFINITY)));
    return top;
}

FL_INLINE uint32_t FL_X(tempered_body)(const void *x, int64_t n, const fl_temperatures_args *a, double *mass,
                                       double *moment, int64_t *held, int count, int fourth) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vexp unit = vexp_load(&a->unit);
    vf centre = vf_set1(a->centre), best = vf_set1(-INFINITY), kept[FL_X(SUMS)], now[FL_X(SUMS)];
    vd total[FL_X(SUMS)];
    vm bad = vm_zero();
    for (int k = 0; k < FL_X(SUMS); k++) {
        kept[k] = vf_set1(0);
        total[k] = vd_zero();
    }
    *held = -1;
    for (int64_t b = 0; b < blocks; b++) {
        vf top = b < whole ? FL_X(block_tempered)(x, n, b, centre, &unit, &bad, now, 1, count, fourth)
                           : FL_X(block_tempered)(x, n, b, centre, &unit, &bad, now, 0, count, fourth);
        if (!vm_bits(vf_gt(top, best))) {
            FL_X(tempered_add)(total, now, count);
            continue;
        }
        FL_X(tempered_add)(total, kept, count);
        memcpy(kept, now, sizeof kept);
        best = vf_set1(FL_X(lanes_max)(top));
        *held = b;
    }
    for (int k = 0; k < count; k++) mass[k] = vd_sum(total[k]);
    *moment = vd_sum(total[FL_TEMPERATURES]);
    return vm_bits(bad);
}

/* mass[k]: sums of E_k = (exp(d x) 2^-N)^(power + k), and moment: that of E_k (x - centre) for k = FL_MIDDLE where
 * count exceeds it, over all blocks but `held`, the block of the first maximum (-1: every value is -inf). Non-zero if a
 * NaN or +inf may be there. */
static uint32_t FL_X(row_temperatures)(const void *x, int64_t n, const fl_temperatures_args *a, double *mass,
                                       double *moment, int64_t *held) {
    if (a->power == 4) return FL_X(tempered_body)(x, n, a, mass, moment, held, FL_TEMPERATURES, 1);
    if (a->count == 1) return FL_X(tempered_body)(x, n, a, mass, moment, held, 1, 0);
    if (a->count == 2) return FL_X(tempered_body)(x, n, a, mass, moment, held, 2, 0);
    return FL_X(tempered_body)(x, n, a, mass, moment, held, FL_TEMPERATURES, 0);
}
