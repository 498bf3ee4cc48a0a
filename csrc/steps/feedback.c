/* feedback.c: steps that steer by the tokens drawn before. What they remember starts anew with each sequence. */
#include "steps/steps.h"

static const double LN2 = 0x1.62e42fefa39efp-1;

static double between(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

enum { SLOPES = 100 }; /* m of the paper */

/* k of mirostat 1 (Basu et al., 2021): with t_i = ln((i + 2) / (i + 1)) and b_i = ln(p_i / p_(i + 1)) of the first 100,
 * s = sum t b / sum t^2 and e = s - 1: (e 2^mu / (1 - V^-e))^(1 / s). */
static double rank_of_surprise(const fl_cands *c, const fl_step_values *v) {
    double tb = 0, tt = 0, log_vocab = fl_log((double)v->vocab);
    for (int64_t i = 0; i + 1 < c->n && i + 1 < SLOPES; i++) {
        double t = fl_log((double)(i + 2) / (double)(i + 1));
        tb += t * (c->logit[i] - c->logit[i + 1]);
        tt += t * t;
    }
    /* e / (1 - V^-e) = g(x) / ln V with x = e ln V and g(x) = x / (1 - exp(-x)), which is 1 + x / 2 + x^2 / 12 near 0. */
    double s = tb / tt, x = (s - 1.0) * log_vocab;
    double g = fabs(x) < 1e-4 ? 1.0 + x / 2 + x * x / 12 : x / (1.0 - fl_exp(-x));
    double log_k = v->memory[0] * LN2 + fl_log(g / log_vocab);
    if (s <= 0) return log_k > 0 ? (double)INFINITY : 1.0;
    return fl_exp(between(log_k / s, 0.0, 50.0));
}

/* Version 2 keeps the tokens with -log2 p <= mu, as a floor. */
void fl_list_mirostat(fl_cands *c, const fl_step_values *v) {
    if (v->value == 2.0) {
        fl_list_floor(c, v);
        return;
    }
    c->more = c->partial && c->n < SLOPES;
    if (c->n < 2 || c->more) return;
    double k = rank_of_surprise(c, v), least = (double)v->min_keep;
    k = k > least ? k : least;
    c->more = c->partial && k >= (double)c->n + 1.0;
    if (!c->more && k < (double)c->n) fl_cands_keep(c, (int64_t)k);
}

/* With a = clamp(2 target - weighted sum / weight, 0, 1) and d = |p - a| / 0.3: logits 5 - 10 d^2 / (1 + d). */
void fl_list_adaptive_p(fl_cands *c, const fl_step_values *v) {
    const double *mass = fl_cands_masses(c, c->n);
    double total = fl_cands_total(c), aim = between(2.0 * v->value - v->memory[0] / v->memory[1], 0.0, 1.0);
    for (int64_t i = 0; i < c->n; i++) {
        double p = mass[i] / total, d = fabs(p - aim) / 0.3;
        if (c->shares) c->shares[v->slot * c->raw + c->pos[i]] = p;
        c->logit[i] = 5.0 - 10.0 * d * d / (1.0 + d);
    }
    c->failed = fl_cands_resort(c);
}

/* The draw's work; the program keeps its exponent. */
void fl_list_skew(fl_cands *c, const fl_step_values *v) {
    (void)c;
    (void)v;
}
