/* floors.c: cuts by a threshold that the shape of the distribution sets. p is the probability among all survivors. */
#include "steps/steps.h"

static double least_of(double a, double b) { return a < b ? a : b; }

/* The logit of probability exp(log_p). */
static double logit_of(const fl_shape *s, double log_p) { return s->top + log_p + fl_log(s->total); }

double fl_floor_of_step(const fl_shape *s, const fl_step_values *v) {
    double log_value = fl_log(v->value);
    switch (v->op) {
    case FL_OP_min_p: return s->top + log_value;
    /* Hewitt et al., 2022: p >= epsilon, and p >= min(epsilon, sqrt(epsilon) exp(-H)). */
    case FL_OP_epsilon_cutoff: return logit_of(s, log_value);
    case FL_OP_eta_cutoff: return logit_of(s, least_of(log_value, 0.5 * log_value - s->entropy));
    /* p >= a p_max^2, where p_max = 1 / total. */
    case FL_OP_top_a: return s->top + log_value - fl_log(s->total);
    /* -log2 p <= mu. */
    case FL_OP_mirostat: return logit_of(s, -v->memory[0] * 0x1.62e42fefa39efp-1);
    /* p >= (sum p^k)^(1 / (k - 1)), which is at most p_max. */
    case FL_OP_p_less:
        return least_of(logit_of(s, (fl_log(s->power) - v->value * fl_log(s->total)) / (v->value - 1.0)), s->top);
    case FL_OP_top_n_sigma: return s->top - v->value * s->deviation;
    default: return -DBL_MAX;
    }
}

/* T = low + (high - low) (H / ln n)^exponent; 1 for a single survivor. */
double fl_dynamic_temperature(const fl_shape *s, const fl_step_values *v) {
    if (s->alive < 2) return 1.0;
    double share = s->entropy / fl_log((double)s->alive);
    double power = share > 0 ? fl_exp(v->third * fl_log(share)) : 0.0;
    return v->value + (v->second - v->value) * power;
}

/* The shape of a list that holds all survivors. */
static void shape_of_list(fl_cands *c, const fl_step_values *v, fl_shape *s) {
    *s = (fl_shape){.top = c->logit[0], .alive = c->n};
    if (v->needs & FL_NEEDS_MASS) s->total = fl_cands_total(c);
    if ((v->needs & FL_NEEDS_ENTROPY) == FL_NEEDS_ENTROPY) s->entropy = fl_cands_entropy(c);
    for (int64_t i = c->n - 1; (v->needs & FL_NEEDS_POWER) == FL_NEEDS_POWER && i >= 0; i--)
        s->power += fl_exp(v->value * (c->logit[i] - s->top));
    if (!(v->needs & FL_NEEDS_SPREAD)) return;
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < c->n; i++) mean += (c->logit[i] - s->top) / (double)c->n;
    for (int64_t i = 0; i < c->n; i++) {
        double d = (c->logit[i] - s->top) - mean;
        squares += d * d / (double)c->n;
    }
    s->deviation = squares > 0 ? fl_exp(0.5 * fl_log(squares)) : 0.0;
}

void fl_list_floor(fl_cands *c, const fl_step_values *v) {
    fl_shape s;
    double floor = v->floor;
    if (!v->resolved) {
        shape_of_list(c, v, &s);
        floor = fl_floor_of_step(&s, v);
    }
    int64_t keep = 0;
    while (keep < c->n && c->logit[keep] >= floor) keep++;
    keep = keep > 1 ? keep : 1;
    fl_cands_keep(c, keep > v->min_keep ? keep : v->min_keep);
}

void fl_list_epsilon_cutoff(fl_cands *c, const fl_step_values *v) { fl_list_floor(c, v); }
void fl_list_eta_cutoff(fl_cands *c, const fl_step_values *v) { fl_list_floor(c, v); }
void fl_list_top_a(fl_cands *c, const fl_step_values *v) { fl_list_floor(c, v); }
void fl_list_p_less(fl_cands *c, const fl_step_values *v) { fl_list_floor(c, v); }
void fl_list_top_n_sigma(fl_cands *c, const fl_step_values *v) { fl_list_floor(c, v); }

void fl_list_dynamic_temperature(fl_cands *c, const fl_step_values *v) {
    fl_shape s;
    shape_of_list(c, v, &s);
    fl_step_values plain = *v;
    plain.value = fl_dynamic_temperature(&s, v);
    if (plain.value == 0)
        fl_cands_keep(c, 1);
    else
        fl_list_temperature(c, &plain);
}

/* Order stays for c in [1, 3]; what becomes
 * equal is put in order again. */
void fl_list_smoothing(fl_cands *c, const fl_step_values *v) {
    double top = c->logit[0];
    for (int64_t i = 0; i < c->n; i++) c->logit[i] = fl_smoothed(v, c->logit[i], top);
    fl_cands_drop_banned(c);
    c->known = 0;
    for (int64_t i = 1; i < c->n; i++)
        if (c->logit[i] >= c->logit[i - 1] && c->id[i] < c->id[i - 1]) {
            c->failed = fl_cands_resort(c);
            return;
        }
}
