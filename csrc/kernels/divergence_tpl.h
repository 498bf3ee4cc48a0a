/* divergence_tpl.h: one read of two rows for the sums behind their Kullback-Leibler divergence. Included once per type.
 *
 * Rows unlike each other: masses of both and the sums of e (a - b). Rows like each other: what counts is
 * g(d) = exp(-d) - 1 + d, near d^2 / 2, which no difference of two masses could give: a polynomial where |d| <= 1, the
 * exponentials beyond. Guarded, values are clamped at FL_FARTHEST, so that no difference is NaN unless a value is, and
 * the largest and least difference are told; else a -inf among the values makes sums that are not finite. Sums run over
 * 16 lanes, four vectors at a time, a block in float, blocks in double. */

#define FL_FARTHEST (-0x1p+125f)

enum { FL_X(MASS_P), FL_X(MASS_Q), FL_X(MOMENT), FL_X(REVERSE), FL_X(FIRST), FL_X(SUMMED) };

typedef struct {
    vexp p, q;
    vf inverse, shift, scale, top_p, top_q, above, below;
} FL_X(pair);

/* Adds the parts of four vectors of each row to sums. */
FL_EXP_INLINE void FL_X(quad_unlike)(FL_X(pair) * k, const vf *a, const vf *b, vf *sums, int both, int guarded) {
    vf p[4], q[4], d[4];
    for (int j = 0; j < 4; j++) {
        p[j] = vf_exp_quick(&k->p, a[j]);
        q[j] = vf_exp_quick(&k->q, b[j]);
        d[j] = vf_sub(a[j], b[j]);
        if (guarded) {
            k->above = vf_max(d[j], k->above);
            k->below = vf_max(vf_sub(b[j], a[j]), k->below);
        }
    }
    sums[FL_X(MASS_P)] = vf_add(sums[FL_X(MASS_P)], vf_sum4(p));
    sums[FL_X(MASS_Q)] = vf_add(sums[FL_X(MASS_Q)], vf_sum4(q));
    sums[FL_X(MOMENT)] = vf_add(sums[FL_X(MOMENT)], vf_dot4(p, d));
    if (both) sums[FL_X(REVERSE)] = vf_add(sums[FL_X(REVERSE)], vf_dot4(q, d));
}

/* g(d) / d^2 for |d| <= 1 within 1.3e-7. */
FL_EXP_INLINE vf FL_X(bend)(vf d) {
    static const float c[] = {0x1.0000000000000p-1f,  -0x1.55557e0000000p-3f, 0x1.55557a0000000p-5f,
                              -0x1.10fc860000000p-7f, 0x1.6bff4e0000000p-10f, -0x1.aa55920000000p-13f,
                              0x1.a9728c0000000p-16f};
    vf h = vf_set1(c[6]);
    for (int i = 5; i >= 0; i--) h = vf_fma(h, d, vf_set1(c[i]));
    return h;
}

/* e_a g(d) and e_a exp(-d) g(-d) where |d| is not below 1, by the exponential of b. */
FL_EXP_INLINE void FL_X(quad_far)(FL_X(pair) * k, const vf *b, const vf *p, const vf *d, vf *g, vf *back) {
    vf zero = vf_set1(0);
    for (int j = 0; j < 4; j++) {
        vf q = vf_mul(vf_exp_quick(&k->q, b[j]), k->scale), down = vf_sub(zero, d[j]);
        vm here = vf_nlt(vf_mul(d[j], d[j]), vf_set1(1));
        g[j] = vf_blend(here, vf_sub(vf_fma(p[j], d[j], q), p[j]), g[j]);
        back[j] = vf_blend(here, vf_sub(vf_fma(q, down, p[j]), q), back[j]);
        k->above = vf_max(d[j], k->above);
        k->below = vf_max(down, k->below);
    }
}

FL_EXP_INLINE void FL_X(quad_like)(FL_X(pair) * k, const vf *a, const vf *b, vf *sums, int both) {
    vf p[4], d[4], g[4], back[4], one = vf_set1(1);
    vm far = vm_zero();
    for (int j = 0; j < 4; j++) {
        p[j] = vf_exp_quick(&k->p, a[j]);
        d[j] = vf_fma(vf_sub(a[j], b[j]), k->inverse, k->shift);
        vf square = vf_mul(d[j], d[j]), pressed = vf_mul(p[j], square);
        far = vm_or(far, vf_nlt(square, one));
        g[j] = vf_mul(pressed, FL_X(bend)(d[j]));
        back[j] = both ? vf_sub(pressed, vf_mul(vf_add(one, d[j]), g[j])) : g[j];
    }
    if (vm_bits(far)) FL_X(quad_far)(k, b, p, d, g, back);
    sums[FL_X(MASS_P)] = vf_add(sums[FL_X(MASS_P)], vf_sum4(p));
    sums[FL_X(MOMENT)] = vf_add(sums[FL_X(MOMENT)], vf_sum4(g));
    sums[FL_X(FIRST)] = vf_add(sums[FL_X(FIRST)], vf_dot4(p, d));
    if (both) sums[FL_X(REVERSE)] = vf_add(sums[FL_X(REVERSE)], vf_sum4(back));
}

/* Four vectors of a row from vector i on. */
FL_INLINE void FL_X(quad_loaded)(const void *x, int64_t n, int64_t i, int guarded, int whole, vf *v, vf *top) {
    for (int j = 0; j < 4; j++) {
        const char *p = (const char *)x + (i + j) * FL_LANES * FL_SIZE;
        v[j] = whole ? FL_LOAD(p) : FL_X(vector_at)(x, n, i + j, FL_FARTHEST);
        if (guarded) v[j] = vf_max(vf_set1(FL_FARTHEST), v[j]);
        *top = vf_max(v[j], *top);
        if (j * FL_LANES * FL_SIZE % 64 == 0) __builtin_prefetch(p + FL_X(AHEAD));
    }
}

FL_EXP_INLINE void FL_X(block_divergence)(const void *a, const void *b, int64_t n, int64_t block, FL_X(pair) * k,
                                          vd *totals, int near, int both, int guarded, int whole) {
    vf sums[FL_X(SUMMED)];
    for (int i = 0; i < FL_X(SUMMED); i++) sums[i] = vf_set1(0);
    for (int c = 0; c < 16; c += 4) {
        vf v[4], w[4];
        FL_X(quad_loaded)(a, n, block * 16 + c, guarded, whole, v, &k->top_p);
        FL_X(quad_loaded)(b, n, block * 16 + c, guarded, whole, w, &k->top_q);
        if (near)
            FL_X(quad_like)(k, v, w, sums, both);
        else
            FL_X(quad_unlike)(k, v, w, sums, both, guarded);
    }
    totals[FL_X(MASS_P)] = vd_add_f(totals[FL_X(MASS_P)], sums[FL_X(MASS_P)]);
    totals[FL_X(MOMENT)] = vd_add_f(totals[FL_X(MOMENT)], sums[FL_X(MOMENT)]);
    if (near)
        totals[FL_X(FIRST)] = vd_add_f(totals[FL_X(FIRST)], sums[FL_X(FIRST)]);
    else
        totals[FL_X(MASS_Q)] = vd_add_f(totals[FL_X(MASS_Q)], sums[FL_X(MASS_Q)]);
    if (both) totals[FL_X(REVERSE)] = vd_add_f(totals[FL_X(REVERSE)], sums[FL_X(REVERSE)]);
}

FL_INLINE void FL_X(divergence_body)(const void *a, const void *b, int64_t n, const fl_divergence_args *args,
                                     fl_divergence *out, int near, int both, int guarded) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf none = vf_set1(-INFINITY);
    FL_X(pair) k;
    k.p = vexp_load(&args->p), k.q = vexp_load(&args->q);
    k.inverse = vf_set1(args->inverse), k.shift = vf_set1(-args->shift), k.scale = vf_set1(args->scale);
    k.top_p = k.top_q = k.above = k.below = none;
    vd totals[FL_X(SUMMED)];
    for (int i = 0; i < FL_X(SUMMED); i++) totals[i] = vd_zero();
    for (int64_t i = 0; i < whole; i++) FL_X(block_divergence)(a, b, n, i, &k, totals, near, both, guarded, 1);
    for (int64_t i = whole; i < blocks; i++) FL_X(block_divergence)(a, b, n, i, &k, totals, near, both, guarded, 0);
    out->p = vd_sum(totals[FL_X(MASS_P)]), out->q = vd_sum(totals[FL_X(MASS_Q)]);
    out->d = vd_sum(totals[FL_X(MOMENT)]), out->reverse = vd_sum(totals[FL_X(REVERSE)]);
    out->first = vd_sum(totals[FL_X(FIRST)]);
    out->top_p = FL_X(lanes_max)(k.top_p), out->top_q = FL_X(lanes_max)(k.top_q);
    out->above = FL_X(lanes_max)(k.above), out->below = FL_X(lanes_max)(k.below);
}

static void FL_X(row_divergence)(const void *a, const void *b, int64_t n, const fl_divergence_args *args,
                                 fl_divergence *out) {
    if (args->guarded) {
        if (args->near) return FL_X(divergence_body)(a, b, n, args, out, 1, 1, 1);
        return FL_X(divergence_body)(a, b, n, args, out, 0, 1, 1);
    }
    if (args->near) {
        if (args->both) return FL_X(divergence_body)(a, b, n, args, out, 1, 1, 0);
        return FL_X(divergence_body)(a, b, n, args, out, 1, 0, 0);
    }
    if (args->both) return FL_X(divergence_body)(a, b, n, args, out, 0, 1, 0);
    return FL_X(divergence_body)(a, b, n, args, out, 0, 0, 0);
}
#undef FL_FARTHEST
