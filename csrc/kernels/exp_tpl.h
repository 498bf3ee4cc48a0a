/* exp_tpl.h: the exponential of every float pass, 0.54 ulp, without a branch (see fl_exp_args in kernels.h), and sums of
 * four vectors. */

FL_INLINE vf vf_sum4(const vf *v) { return vf_add(vf_add(v[0], v[1]), vf_add(v[2], v[3])); }
FL_INLINE vf vf_dot4(const vf *v, const vf *w) {
    return vf_add(vf_fma(v[1], w[1], vf_mul(v[0], w[0])), vf_fma(v[3], w[3], vf_mul(v[2], w[2])));
}

typedef struct {
    vf scale, magic, hi, lo, c1, c2, c3, least;
    vt table, rest;
} vexp;

FL_INLINE vexp vexp_load(const fl_exp_args *a) {
    return (vexp){vf_set1(a->scale),     vf_set1(a->magic),    vf_set1(-a->hi), vf_set1(-a->lo),
                  vf_set1(a->c1),        vf_set1(a->c2),       vf_set1(a->c3),  vf_set1(a->least),
                  vt_load(fl_exp2_bits), vt_load(fl_exp2_rest)};
}

/* Domain: |x| / T < 1e5; there r is exact but for the last product. NaN and +inf become NaN, and anything below least
 * garbage. quick: without the rests of the table, below 2 ulp, for masses whose errors a result damps. */
FL_EXP_INLINE vf vexp_raw(const vexp *k, vf x, int quick) {
    vf t = vf_fma(x, k->scale, k->magic);
    vf n = vf_sub(t, k->magic);
    vf r = vf_fma(n, k->lo, vf_fma(n, k->hi, x));
    vf p = vf_fma(vf_fma(k->c3, r, k->c2), r, k->c1);
    vf q = quick ? vf_mul(p, r) : vf_fma(p, r, vf_lookup(k->rest, t));
    vf top = vf_raise_by_bits(vf_lookup(k->table, t), t);
    return vf_fma(top, q, top);
}
/* The same as a product, the power of 2 and p, the polynomial with 1 as its last coefficient; garbage below least. */
FL_EXP_INLINE vf vexp_factors(const vexp *k, vf x, vf *p) {
    vf t = vf_fma(x, k->scale, k->magic), n = vf_sub(t, k->magic), r = vf_fma(n, k->lo, vf_fma(n, k->hi, x));
    *p = vf_fma(vf_fma(vf_fma(k->c3, r, k->c2), r, k->c1), r, vf_set1(1));
    return vf_raise_by_bits(vf_lookup(k->table, t), t);
}
/* Anything below least must lie outside `stay`, which makes +0 of it. */
FL_INLINE vf vexp_run(const vexp *k, vm stay, vf x, int quick) { return vf_keep(stay, vexp_raw(k, x, quick)); }
FL_INLINE vf vf_exp(const vexp *k, vf x) { return vexp_run(k, vf_ge(x, k->least), x, 0); }
FL_INLINE vf vf_exp_quick(const vexp *k, vf x) { return vexp_run(k, vf_ge(x, k->least), x, 1); }
