/* compare.c: the distributions of two rows beside each other.
 *
 * Kullback-Leibler divergences of float rows come from one read of both, row_divergence, the logits of b counted from a
 * shift c0 near c = logsumexp(a) - logsumexp(b): with d' = (a - b) / T - c0, D = E_p[d'] and R = E_p[exp(-d')], which is
 * exp(c0 - c),
 *   unlike rows:  KL(p, q) = D + ln R,             KL(q, p) = -E_q[d'] - ln R,   c0 = 0
 *   like rows:    KL(p, q) = G - (x - ln(1 + x)),  KL(q, p) = (B - ((1 + x) ln(1 + x) - x)) / (1 + x)
 * with G = E_p[g(d')], B = E_p[exp(-d') g(-d')], x = G - D = R - 1. There an error of the masses is multiplied by the
 * divergence itself, and one of D by x: with c0 near c nothing cancels. Where it would, the row is read again with a
 * better c0. All else, and rows outside the float exponential's domain, goes through f64_compare. */
#include <float.h>
#include <math.h>
#include "base/math.h"
#include "fastlogits.h"
#include "rows/mass.h"

enum { SAMPLES = 16, FAR_MOST = 4, UNLIKE = 8, FAR_TOPS = 64 };

typedef struct {
    double shift, top_a, top_b;
    int near, guarded;
} guess;

/* Largest values of 16 vectors spread over the rows, the d at the largest of a, and whether nearly all d there lie near it. */
static guess guess_of(const fl_row *a, const fl_row *b, double inverse) {
    double v[SAMPLES * FL_LANES], w[SAMPLES * FL_LANES];
    int64_t vectors = (a->n + FL_LANES - 1) / FL_LANES, step = (vectors + SAMPLES - 1) / SAMPLES, count = 0;
    guess g = {.top_a = -(double)INFINITY, .top_b = -(double)INFINITY};
    for (int64_t i = 0; i < vectors; i += step)
        for (int64_t id = i * FL_LANES; id < (i + 1) * FL_LANES && id < a->n; id++, count++) {
            v[count] = fl_row_value(a, id);
            w[count] = fl_row_value(b, id);
            if (v[count] > g.top_a) {
                g.top_a = v[count];
                g.shift = (v[count] - w[count]) * inverse;
            }
            if (w[count] > g.top_b) g.top_b = w[count];
        }
    if (!(fabs(g.shift) < 1e5)) g.shift = 0;
    int64_t far = 0;
    for (int64_t i = 0; i < count; i++) far += !(fabs((v[i] - w[i]) * inverse - g.shift) <= 1.0);
    g.near = far <= FAR_MOST;
    return g;
}

/* E_p and what follows: KL in both directions, and whether their rounding is below some 1e-6 of them. */
typedef struct {
    double kl, reverse, ratio;
    int exact;
} verdict;

static verdict of_unlike(const fl_divergence *x, double inverse, double scale, int both) {
    double ratio = x->q * scale / x->p, first = x->d / x->p * inverse, lift = fl_log(ratio);
    verdict v = {.kl = first + lift, .reverse = both ? -(x->reverse / x->q) * inverse - lift : 0, .ratio = ratio};
    double last = both ? x->reverse / x->q * inverse : 0, lesser = both && v.reverse < v.kl ? v.reverse : v.kl;
    v.exact = UNLIKE * lesser >= 1.0 && UNLIKE * lesser >= fabs(first) && UNLIKE * lesser >= fabs(last);
    return v;
}

static verdict of_like(const fl_divergence *x, int both) {
    double bent = x->d / x->p, first = x->first / x->p, away = bent - first, ratio = 1.0 + away;
    double log = away > 0 ? fl_log1p(away) : -fl_log1p(-away / ratio);
    verdict v = {.ratio = ratio};
    v.kl = bent - (away - log);
    v.reverse = (x->reverse / x->p - (ratio * log - away)) / ratio;
    double spread = (2.0 * bent + first * first) * (away / ratio) * (away / ratio);
    double lesser = both && v.reverse < v.kl ? v.reverse : v.kl;
    v.exact = lesser >= 0 && spread <= 64.0 * lesser * lesser;
    return v;
}

static int in_domain(double top, double t) { return fabs(top) / t < 1e5; }

/* Whether the exponents lay well for these maxima. */
static int well_placed(double top, double t, int64_t exponent) {
    int64_t over = fl_exponent_of(top, t) - exponent;
    return over >= 6 && over <= 60;
}

static fl_divergence_args args_of(const guess *g, double t, int both, int64_t *exponents) {
    exponents[0] = fl_exponent_of(g->top_a, t) - 8;
    exponents[1] = fl_exponent_of(g->top_b, t) - 8;
    return (fl_divergence_args){.p = fl_exp_args_of(t, exponents[0]),
                                .q = fl_exp_args_of(t, exponents[1]),
                                .inverse = (float)(1.0 / t),
                                .shift = g->near ? (float)g->shift : 0.0f,
                                .near = g->near,
                                .both = both,
                                .guarded = g->guarded};
}

/* One read. Returns 1 if v holds the divergences, 0 if g is a better guess now, -1 if floats cannot give them. */
static int read_floats(const fl_kernels *k, const fl_row *a, const fl_row *b, double t, int both, guess *g,
                       verdict *v) {
    enum { FARTHEST = 1 << 20 };
    int64_t exponents[2];
    fl_divergence x;
    fl_divergence_args args = args_of(g, t, both, exponents);
    double inverse = 1.0 / t, bits = (double)(exponents[1] - exponents[0]), unit = g->near ? 1.0 : inverse;
    double scale = fl_exp(((double)args.shift + bits * FL_LN2_HI) + bits * FL_LN2_LO);
    if (!(scale > 0x1p-100 && scale < 0x1p+100)) return -1;
    args.scale = (float)scale;
    k->row_divergence[a->dtype](a->x, b->x, a->n, &args, &x);
    if (!(fabs(x.p + x.q + x.d + x.reverse + x.first) < (double)INFINITY)) {
        if (g->guarded) return -1;
        g->guarded = 1;
        return 0;
    }
    g->top_a = (double)x.top_p, g->top_b = (double)x.top_q;
    if (!in_domain(g->top_a, t) || !in_domain(g->top_b, t)) return -1;
    if ((double)x.above * unit > FARTHEST || (both && (double)x.below * unit > FARTHEST)) return -1;
    if (!well_placed(g->top_a, t, exponents[0]) || !well_placed(g->top_b, t, exponents[1])) return 0;
    *v = g->near ? of_like(&x, both) : of_unlike(&x, inverse, scale, both);
    if (!(v->ratio > 0 && v->ratio < (double)INFINITY)) return -1;
    double lesser = both && v->reverse < v->kl ? v->reverse : v->kl, shift = (double)args.shift;
    if (v->exact && shift * shift > 128.0 * lesser) return -1; /* a - b has lost bits that count */
    g->shift = shift - fl_log(v->ratio);
    g->near = 1;
    return v->exact;
}

/* Both divergences of float rows by row_divergence. Returns 0 where that cannot give them. */
static int by_floats(const fl_kernels *k, const fl_row *a, const fl_row *b, double t, int both, verdict *v) {
    guess g = guess_of(a, b, 1.0 / t);
    int found = 0;
    for (int pass = 0; pass < 5 && !found; pass++) {
        if (!in_domain(g.top_a, t)) g.top_a = 0;
        if (!in_domain(g.top_b, t)) g.top_b = 0;
        found = read_floats(k, a, b, t, both, &g, v);
    }
    return found == 1;
}

/* A row as doubles: its first maximum, and the mass of the rest in units of it. */
typedef struct {
    const double *wide;
    double top, rest;
    int64_t at;
} fl_measured;

/* An fl_status. */
static int measured(const fl_kernels *k, fl_scratch *s, const fl_row *row, double t, fl_measured *m) {
    float *gmax = fl_buffer(s, FL_BUF_GMAX, (size_t)fl_groups(row->n) * sizeof(float));
    float *smax = fl_buffer(s, FL_BUF_SMAX, (size_t)fl_supers(row->n) * sizeof(float));
    double *wide = row->wide ? NULL : fl_buffer(s, FL_BUF_WIDE, (size_t)row->n * sizeof(double));
    if (!gmax || !smax || (!row->wide && !wide)) return FL_NO_MEMORY;
    uint32_t bad = k->row_scan[row->dtype](row->x, row->n, NULL, gmax, smax);
    int fault = bad | row->bad ? fl_row_fault(row) : FL_OK;
    if (fault) return fault;
    float image = k->row_max[FL_F32](gmax, fl_groups(row->n));
    if (image == -INFINITY) return FL_NO_FINITE;
    if (wide) k->row_widen[row->dtype](row->x, row->n, wide);
    m->wide = row->wide ? row->wide : wide;
    m->top = row->wide ? fl_wide_top(row, NULL, gmax, image) : (double)image;
    m->at = fl_first_equal(k, row, NULL, gmax, m->top);
    if (m->at < 0) return FL_CHANGED;
    m->rest = k->f64_rest(m->wide, row->n, 1.0 / t, m->at) * 0x1p-512;
    return FL_OK;
}

/* Whether a finite value is so large that its product with a probability may leave the range in units of 2^-512. */
static int has_huge(const fl_measured *m, int64_t n) {
    int huge = 0;
    for (int64_t i = 0; i < n; i++) huge |= fabs(m->wide[i]) > 0x1p+500 && fabs(m->wide[i]) <= DBL_MAX;
    return huge;
}

/* Sums of p log(p / q), or of -p log q with `cross`, by plain doubles: what underflows is nothing beside such values. */
static double plain_sum(const fl_measured *a, const fl_measured *b, int64_t n, double inverse, int cross) {
    double tail_p = fl_log1p(a->rest), tail_q = fl_log1p(b->rest), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double lp = (a->wide[i] - a->top) * inverse - tail_p, p = fl_exp(lp);
        if (p > 0) sum += p * ((cross ? 0 : lp) - ((b->wide[i] - b->top) * inverse - tail_q));
    }
    return sum;
}

static void by_doubles(const fl_kernels *k, const fl_measured *a, const fl_measured *b, int64_t n, double t,
                       double beta, double **out) {
    double inverse = 1.0 / t, tail_p = fl_log1p(a->rest), tail_q = fl_log1p(b->rest), apart = a->top - b->top;
    /* a - b of rows far apart has lost what their logits differ by: each is counted from its own top then. */
    int far = !(fabs(apart) * inverse <= FAR_TOPS);
    fl_compare64_args x = {.top_p = a->top,
                           .top_q = b->top,
                           .tail_p = tail_p,
                           .tail_q = tail_q,
                           .inverse = inverse,
                           .base_p = far ? a->top : 0,
                           .base_q = far ? b->top : 0,
                           .shift = (far ? 0 : apart * inverse) + (tail_p - tail_q),
                           .beta = beta,
                           .at = a->at};
    k->f64_compare(a->wide, b->wide, n, &x, out);
    for (int i = 0; i < FL_MEASURES; i++)
        if (out[i]) *out[i] = *out[i] > 0 ? *out[i] * 0x1p-512 : 0;
    if (out[FL_CROSS_ENTROPY]) *out[FL_CROSS_ENTROPY] += tail_q;
    int sums[3] = {FL_KL, FL_REVERSE_KL, FL_CROSS_ENTROPY}, huge = -1;
    for (int i = 0; i < 3; i++) {
        double *to = out[sums[i]];
        if (!to || *to <= DBL_MAX) continue;
        if (huge < 0) huge = has_huge(a, n) || has_huge(b, n);
        int back = sums[i] == FL_REVERSE_KL;
        if (huge) *to = plain_sum(back ? b : a, back ? a : b, n, inverse, sums[i] == FL_CROSS_ENTROPY);
    }
}

static int one_row(const fl_kernels *k, fl_scratch *const *s, const fl_rows *xa, const fl_rows *xb,
                   const fl_comparison *c, int64_t r) {
    fl_row a, b;
    fl_measured ma, mb;
    verdict v;
    double *out[FL_MEASURES], t = c->temperature.at[r * c->temperature.step];
    int dense = 0;
    for (int i = 0; i < FL_MEASURES; i++) {
        out[i] = c->measures[i] ? c->measures[i] + r : NULL;
        if (i != FL_KL && i != FL_REVERSE_KL) dense |= out[i] != NULL;
        if (out[i]) *out[i] = (double)NAN;
    }
    c->status_a[r] = c->status_b[r] = FL_OK;
    if (fl_row_open(s[0], k, xa, r, &a) || fl_row_open(s[1], k, xb, r, &b)) return FL_NO_MEMORY;
    int narrow = !a.wide && !b.wide && a.dtype == b.dtype && t >= 1e-12 && t <= 1e12;
    if (!dense && narrow && by_floats(k, &a, &b, t, out[FL_REVERSE_KL] != NULL, &v)) {
        if (out[FL_KL]) *out[FL_KL] = v.kl > 0 ? v.kl : 0;
        if (out[FL_REVERSE_KL]) *out[FL_REVERSE_KL] = v.reverse > 0 ? v.reverse : 0;
        return FL_OK;
    }
    c->status_a[r] = measured(k, s[0], &a, t, &ma);
    if (!c->status_a[r]) c->status_b[r] = measured(k, s[1], &b, t, &mb);
    if (c->status_a[r] == FL_NO_MEMORY || c->status_b[r] == FL_NO_MEMORY) return FL_NO_MEMORY;
    if (!c->status_a[r] && !c->status_b[r]) by_doubles(k, &ma, &mb, a.n, t, c->beta, out);
    return FL_OK;
}

int fl_compare(const fl_kernels *k, fl_scratch *const *s, const fl_rows *a, const fl_rows *b, const fl_comparison *c,
               int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) status = one_row(k, s, a, b, c, r);
    fl_env_leave(saved);
    return status;
}
