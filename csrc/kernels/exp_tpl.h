/* exp_tpl.h: the exponential of every float pass, 0.54 ulp, without a branch. See fl_exp_args in kernels.h. */

typedef struct {
    vf scale, magic, hi, lo, c1, c2, c3, least;
    vt table_hi, table_lo;
} vexp;

FL_INLINE vexp vexp_load(const fl_exp_args *a) {
    return (vexp){vf_set1(a->scale), vf_set1(a->magic), vf_set1(-a->hi),   vf_set1(-a->lo),     vf_set1(a->c1),
                  vf_set1(a->c2),    vf_set1(a->c3),    vf_set1(a->least), vt_load(fl_exp2_hi), vt_load(fl_exp2_lo)};
}

/* For vexp_quick: its table is 2^(j / 16) less what vf_raise_by_bits adds for j. */
FL_INLINE vexp vexp_load_quick(const fl_exp_args *a) {
    vexp k = vexp_load(a);
    float table[16];
    for (uint32_t j = 0, u; j < 16; j++) {
        memcpy(&u, fl_exp2_hi + j, 4);
        u -= j << 19;
        memcpy(table + j, &u, 4);
    }
    k.table_hi = vt_load(table);
    return k;
}

/* The exponential in three steps fewer, below 2 ulp: for masses whose errors a result damps. */
FL_EXP_INLINE vf vexp_quick(const vexp *k, vf x) {
    vf t = vf_fma(x, k->scale, k->magic);
    vf n = vf_sub(t, k->magic);
    vf r = vf_fma(n, k->lo, vf_fma(n, k->hi, x));
    vf q = vf_mul(vf_fma(vf_fma(k->c3, r, k->c2), r, k->c1), r);
    vf top = vf_raise_by_bits(vf_lookup(k->table_hi, t), t);
    return vf_keep(vf_ge(x, k->least), vf_fma(top, q, top));
}

/* Domain: |x| / T < 1e5 wherever x >= least; there r is exact but for the last product. Anything below least, -inf
 * and NaN included, must lie outside `stay`, which makes +0 of its garbage. */
FL_EXP_INLINE vf vexp_run(const vexp *k, vm stay, vf x) {
    vf t = vf_fma(x, k->scale, k->magic);
    vf n = vf_sub(t, k->magic);
    vf r = vf_fma(n, k->lo, vf_fma(n, k->hi, x));
    vf q = vf_mul(vf_fma(vf_fma(k->c3, r, k->c2), r, k->c1), r);
    vf top = vf_lookup(k->table_hi, t);
    vf y = vf_add(vf_fma(top, q, vf_lookup(k->table_lo, t)), top);
    return vf_scale_by_bits(stay, y, t);
}
FL_INLINE vf vf_exp(const vexp *k, vf x) { return vexp_run(k, vf_ge(x, k->least), x); }
