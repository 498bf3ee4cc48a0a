/* compare_tpl.h: two double rows beside each other, for every measure. Plain loops over 16 lanes, no fma; see
 * double_tpl.h. No sum holds terms of both signs that cancel: where p and q are near each other their difference comes
 * from d = ln(p / q), by g(d) = exp(-d) - 1 + d, which is q / p - 1 + d. */

typedef struct {
    double p[FL_LANES], q[FL_LANES];       /* 0 where they are 0 in double */
    double d[FL_LANES];                    /* 0 where a or b is -inf */
    double bend[FL_LANES];                 /* g(d) / d^2 where |d| < 1/2 */
    double no_p[FL_LANES], no_q[FL_LANES]; /* +inf where a, where b is -inf, else 0 */
} fl_both;

/* sum (-d)^k / (k + 2)!, to 1e-18 for |d| < 1/2. */
FL_INLINE double bend_of(double d) {
    static const double c[] = {1.0 / 2,         1.0 / 6,          1.0 / 24,          1.0 / 120,          1.0 / 720,
                               1.0 / 5040,      1.0 / 40320,      1.0 / 362880,      1.0 / 3628800,      1.0 / 39916800,
                               1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200, 1.0 / 1307674368000};
    double h = c[13];
    for (int i = 12; i >= 0; i--) h = c[i] - h * d;
    return h;
}

/* yes ? a : b by bits: compilers make no vectors of a choice between sums. */
FL_INLINE double chosen(int yes, double a, double b) {
    uint64_t mask = yes ? ~(uint64_t)0 : 0, u, v;
    memcpy(&u, &a, 8);
    memcpy(&v, &b, 8);
    u = (u & mask) | (v & ~mask);
    memcpy(&a, &u, 8);
    return a;
}

/* (1 + x) ln(1 + x) - x for x >= -1, without cancellation: with s = x / (2 + x) and L = s^2 / 3 + s^4 / 5 + ..., near 0
 * it is 2 s (s + (1 + s) L) / (1 - s). The exponent k of 1 + x, counted from sqrt(1/2), comes by way of 2^52 + k. */
FL_INLINE double entropy_term(double x) {
    const uint64_t half_root = 0x3fe6a09e667f3bcd, bias = 1024, magic = 0x4330000000000000;
    double y = 1.0 + x, m, k;
    uint64_t u, shift;
    memcpy(&u, &y, 8);
    shift = (u - half_root + (bias << 52)) >> 52;
    u -= (shift - bias) << 52;
    memcpy(&m, &u, 8);
    shift |= magic;
    memcpy(&k, &shift, 8);
    k -= 0x1p52 + 1024;
    double f = chosen(k != 0, m - 1.0, x), s = f / (2.0 + f), z = s * s, series = 1.0 / 23;
    for (int i = 21; i >= 3; i -= 2) series = series * z + 1.0 / i;
    series *= z;
    double log = k * FL_LN2_HI + (2.0 * (s + s * series) + k * FL_LN2_LO);
    double far = y * log - x, near = 2.0 * s * (s + (1.0 + s) * series) / (1.0 - s);
    return chosen(y < 0x1p-1000, 1.0, chosen(k != 0, far, near));
}

/* exp(y) 2^512 to 1.5 ulp, 0 where exp(y) is 0 in double; y <= 0. A Taylor series: no table, for a look at one takes as
 * long as ten of its steps. */
FL_INLINE double mass64(double y) {
    const double magic = 0x1.8p52;
    double t = y * FL_LOG2E + magic, n = t - magic, r = (y - n * FL_LN2_HI) - n * FL_LN2_LO;
    static const double c[] = {
        1,          1,           1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
        1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    double e = c[13];
    for (int i = 12; i >= 0; i--) e = c[i] + e * r;
    uint64_t bits, u;
    memcpy(&bits, &t, 8);
    memcpy(&u, &e, 8);
    u += (bits + 512) << 52;
    memcpy(&e, &u, 8);
    return chosen(y >= -745.1332191019411, e, 0);
}

FL_INLINE void FL_N(both_of)(const double *a, const double *b, const fl_compare64_args *x, fl_both *y) {
    const double none = -(double)INFINITY;
    for (int l = 0; l < FL_LANES; l++) {
        double d = ((a[l] - x->base_p) - (b[l] - x->base_q)) * x->inverse - x->shift;
        y->p[l] = mass64((a[l] - x->top_p) * x->inverse - x->tail_p);
        y->q[l] = mass64((b[l] - x->top_q) * x->inverse - x->tail_q);
        y->no_p[l] = chosen(a[l] > none, 0, (double)INFINITY);
        y->no_q[l] = chosen(b[l] > none, 0, (double)INFINITY);
        y->d[l] = chosen((a[l] > none) & (b[l] > none), d, 0);
        y->bend[l] = bend_of(y->d[l]);
    }
}

/* p g(d): the part of KL(p, q), or with the roles exchanged of KL(q, p). */
FL_INLINE double divergence_term(double p, double q, double d, double bend, double no_q) {
    double far = (q - p) + p * d, near = p * d * d * bend;
    return chosen(p > 0, chosen(fabs(d) < 0.5, near, far) + no_q, q);
}

/* p - q */
FL_INLINE double away_of(const fl_both *y, int l) {
    double p = y->p[l], q = y->q[l], d = y->d[l], near = p * d * (1.0 - d * y->bend[l]);
    return chosen((fabs(d) < 0.5) & (y->no_p[l] + y->no_q[l] < 1.0), near, p - q);
}

FL_INLINE double mixture_term(double p, double q, double away, double beta) {
    double m = beta * p + (1.0 - beta) * q, u = away / chosen(m > 0, m, 1.0);
    return m * (beta * entropy_term((1.0 - beta) * u) + (1.0 - beta) * entropy_term(-beta * u));
}

/* The top of a is left out of the total variation, top being its lane: what the others of one side lack of those of the
 * other is its part, which may lie far below p. */
FL_INLINE void FL_N(compare16)(const double *b, int64_t top, const fl_both *y, const fl_compare64_args *x,
                               double *const *sums) {
    double part[FL_LANES], less[FL_LANES];
    if (sums[FL_KL]) {
        for (int l = 0; l < FL_LANES; l++) part[l] = divergence_term(y->p[l], y->q[l], y->d[l], y->bend[l], y->no_q[l]);
        for (int l = 0; l < FL_LANES; l++) sums[FL_KL][l] += part[l];
    }
    if (sums[FL_REVERSE_KL]) {
        for (int l = 0; l < FL_LANES; l++)
            part[l] = divergence_term(y->q[l], y->p[l], -y->d[l], bend_of(-y->d[l]), y->no_p[l]);
        for (int l = 0; l < FL_LANES; l++) sums[FL_REVERSE_KL][l] += part[l];
    }
    if (sums[FL_TOTAL_VARIATION]) {
        for (int l = 0; l < FL_LANES; l++) {
            double away = away_of(y, l);
            part[l] = chosen(away > 0, away, 0);
            less[l] = part[l] - away;
        }
        if (top >= 0 && top < FL_LANES) part[top] = less[top] = 0;
        for (int l = 0; l < FL_LANES; l++) sums[FL_TOTAL_VARIATION][l] += part[l];
        for (int l = 0; l < FL_LANES; l++) sums[FL_MEASURES][l] += less[l];
    }
    if (sums[FL_JS]) {
        for (int l = 0; l < FL_LANES; l++) part[l] = mixture_term(y->p[l], y->q[l], away_of(y, l), x->beta);
        for (int l = 0; l < FL_LANES; l++) sums[FL_JS][l] += part[l];
    }
    if (sums[FL_CROSS_ENTROPY]) {
        for (int l = 0; l < FL_LANES; l++) {
            double below = (x->top_q - b[l]) * x->inverse;
            part[l] = chosen(y->p[l] > 0, y->p[l] * below, 0);
        }
        for (int l = 0; l < FL_LANES; l++) sums[FL_CROSS_ENTROPY][l] += part[l];
    }
}

FL_INLINE double FL_N(halved)(double *v) {
    for (int half = FL_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) v[l] += v[l + half];
    return v[0];
}

/* Sixteen values from `at` on, -inf behind the end, in room where there are fewer. */
FL_INLINE const double *FL_N(padded)(const double *x, int64_t n, int64_t at, double *room) {
    if (n - at >= FL_LANES) return x + at;
    for (int l = 0; l < FL_LANES; l++) room[l] = l < n - at ? x[at + l] : -(double)INFINITY;
    return room;
}

/* 2^512 sum exp((x - x_at) inverse) over all values but the one numbered at: sums of 16 lanes by block, then over blocks,
 * then over lanes. */
static double FL_N(f64_rest)(const double *x, int64_t n, double inverse, int64_t at) {
    double total[FL_LANES] = {0}, top = x[at];
    for (int64_t block = 0; block < n; block += FL_BLOCK) {
        double part[FL_LANES] = {0}, room[FL_LANES], e[FL_LANES];
        for (int64_t i = block; i < n && i < block + FL_BLOCK; i += FL_LANES) {
            const double *v = FL_N(padded)(x, n, i, room);
            for (int l = 0; l < FL_LANES; l++) e[l] = mass64((v[l] - top) * inverse);
            if (at >= i && at < i + FL_LANES) e[at - i] = 0;
            for (int l = 0; l < FL_LANES; l++) part[l] += e[l];
        }
        for (int l = 0; l < FL_LANES; l++) total[l] += part[l];
    }
    return FL_N(halved)(total);
}

/* The measures that are wanted, summed the same way. out: NULL or a place for each measure. */
static void FL_N(f64_compare)(const double *a, const double *b, int64_t n, const fl_compare64_args *x, double **out) {
    double total[FL_MEASURES + 1][FL_LANES] = {{0}};
    for (int64_t block = 0; block < n; block += FL_BLOCK) {
        double part[FL_MEASURES + 1][FL_LANES] = {{0}}, *sums[FL_MEASURES + 1], room[2][FL_LANES];
        for (int i = 0; i < FL_MEASURES; i++) sums[i] = out[i] ? part[i] : NULL;
        sums[FL_MEASURES] = part[FL_MEASURES];
        for (int64_t at = block; at < n && at < block + FL_BLOCK; at += FL_LANES) {
            const double *p = FL_N(padded)(a, n, at, room[0]), *q = FL_N(padded)(b, n, at, room[1]);
            fl_both y;
            FL_N(both_of)(p, q, x, &y);
            FL_N(compare16)(q, x->at - at, &y, x, sums);
        }
        for (int i = 0; i <= FL_MEASURES; i++)
            for (int l = 0; l < FL_LANES; l++) total[i][l] += part[i][l];
    }
    for (int i = 0; i < FL_MEASURES; i++)
        if (out[i]) *out[i] = FL_N(halved)(total[i]);
    double less = FL_N(halved)(total[FL_MEASURES]);
    if (out[FL_TOTAL_VARIATION] && less > *out[FL_TOTAL_VARIATION]) *out[FL_TOTAL_VARIATION] = less;
}
