/* cuts.c: steps that keep a prefix of the list sorted by (logit descending, id ascending), and temperature. */
#include "steps/steps.h"

static int64_t at_least(int64_t n, int64_t least) { return n > least ? n : least; }

/* l / T; T = 0 never comes here (the program turns it into greedy). */
void fl_list_temperature(fl_cands *c, const fl_step_values *v) {
    for (int64_t i = 0; i < c->n; i++) c->logit[i] /= v->value;
    fl_cands_drop_banned(c);
    c->known = 0;
}

/* ln p; as the last step of a plan it never comes here. */
void fl_list_renormalize_logits(fl_cands *c, const fl_step_values *v) {
    (void)v;
    double top = c->logit[0], log_total = fl_log(c->total > 0 ? c->total : fl_cands_total(c));
    for (int64_t i = 0; i < c->n; i++) c->logit[i] = (c->logit[i] - top) - log_total;
}

/* The first max(k, min_keep); with ties kept also what equals the last of them. */
void fl_list_top_k(fl_cands *c, const fl_step_values *v) {
    if (v->flags & FL_JOINT) fl_cands_join(c);
    if (!(v->value < (double)c->n)) return;
    int64_t keep = at_least((int64_t)v->value, at_least(v->min_keep, 1));
    if (keep >= c->n) return;
    while (v->flags & FL_TIES_KEEP && keep < c->n && c->logit[keep] == c->logit[keep - 1]) keep++;
    fl_cands_keep(c, keep);
}

/* The smallest prefix whose mass, summed in double, is >= p of the total, or > if strict (Holtzman et al., 2019). joint: masses and
 * total as remembered at the first joint cut (SGLang, FlashInfer). */
void fl_list_top_p(fl_cands *c, const fl_step_values *v) {
    double sum = 0, target;
    int64_t keep = 0;
    if (v->flags & FL_JOINT) {
        fl_cands_join(c);
        target = fl_target(v, c->joint_total);
        while (keep < c->n && sum < target) sum += c->joint[c->pos[keep++]];
    } else {
        target = fl_target(v, c->total > 0 ? c->total : fl_cands_total(c));
        while (keep < c->n && sum < target) {
            const double *mass = fl_cands_masses(c, keep + 1);
            sum += mass[keep++];
        }
    }
    fl_cands_keep(c, at_least(keep, v->min_keep));
    c->total = 0;
}

/* l >= max + ln(min_p) (Nguyen et al., 2024). */
void fl_list_min_p(fl_cands *c, const fl_step_values *v) {
    double floor = c->logit[0] + fl_log(v->value);
    int64_t keep = 0;
    while (keep < c->n && c->logit[keep] >= floor) keep++;
    fl_cands_keep(c, at_least(keep, v->min_keep));
}

/* The first maximum alone. */
void fl_list_greedy(fl_cands *c, const fl_step_values *v) {
    (void)v;
    fl_cands_keep(c, 1);
}

/* Drawing is the end's work: the step only says that nothing follows. */
void fl_list_draw(fl_cands *c, const fl_step_values *v) {
    (void)c;
    (void)v;
}

void fl_list_gumbel(fl_cands *c, const fl_step_values *v) {
    (void)c;
    (void)v;
}
