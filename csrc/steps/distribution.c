/* distribution.c: steps that walk the sorted list by something else than a threshold or a rank. They may ask for a longer list
 * (more) where it holds only the first tokens (partial). */
#include "steps/steps.h"

static int64_t at_least(int64_t n, int64_t least) { return n > least ? n : least; }

/* The distances |-ln p - H| fall to the left of the entropy and rise to its right: two runs, merged by distance; among
 * equals those to the left come first, and equal logits by id. */
typedef struct {
    int64_t left, from, to, right; /* taken next on the left: from .. to - 1, a run of equals; on the right: right */
    double middle;                 /* logit of surprise H */
} typical_walk;

static void next_run(const fl_cands *c, typical_walk *w) {
    w->from = w->to = w->left;
    while (w->from > 0 && c->logit[w->from - 1] == c->logit[w->left - 1]) w->from--;
    w->left = w->from;
}

static double away(const fl_cands *c, const typical_walk *w, int64_t i) { return fabs(c->logit[i] - w->middle); }

/* The next token of the walk, -1 where there is none in the list. */
static int64_t next_typical(const fl_cands *c, typical_walk *w) {
    if (w->from == w->to && w->left > 0) next_run(c, w);
    int has_left = w->from < w->to;
    if (w->right >= c->n && c->partial && (!has_left || away(c, w, w->from) > away(c, w, c->n - 1))) return -1;
    if (has_left && (w->right >= c->n || away(c, w, w->from) <= away(c, w, w->right))) return w->from++;
    return w->right < c->n ? w->right++ : -1;
}

int64_t fl_typical_walk(fl_cands *c, const fl_step_values *v, double middle, double sum, double target, double *last) {
    typical_walk w = {.middle = middle};
    while (w.right < c->n && c->logit[w.right] > w.middle) w.right++;
    c->more = c->partial && w.right == c->n;
    if (c->more) return -1;
    w.left = w.from = w.to = w.right;
    const double *mass = fl_cands_masses(c, c->n);
    int32_t *keep = c->order;
    memset(keep, 0, (size_t)c->n * sizeof(int32_t));
    int64_t kept = 0;
    for (; kept < c->n; kept++) {
        int done = sum >= target && kept >= at_least(v->min_keep, 1);
        if (done && !(v->flags & FL_TIES_KEEP)) break;
        int64_t i = next_typical(c, &w);
        c->more = i < 0;
        if (i < 0) return -1;
        if (done && away(c, &w, i) > *last) break;
        keep[i] = 1;
        sum += mass[i];
        *last = away(c, &w, i);
    }
    c->more = c->partial && (sum < target || kept < v->min_keep);
    return c->more ? -1 : kept;
}

void fl_list_typical_p(fl_cands *c, const fl_step_values *v) {
    double total = c->total > 0 ? c->total : fl_cands_total(c), entropy = fl_cands_entropy(c), last = 0;
    double middle = c->logit[0] + fl_log(total) - entropy;
    if (fl_typical_walk(c, v, middle, 0, fl_target(v, total), &last) >= 0) fl_cands_compact(c, c->order);
}

/* The first index i >= min_keep, 1 at least, at which the bends sum to more than `target`; n if there is none. */
static int64_t bend_cut(const double *bends, int64_t n, double target, int64_t min_keep) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += bends[i];
        if (sum > target && i >= at_least(min_keep, 1)) return i;
    }
    return n;
}

/* Bends b_i = |p_i - 2 p_(i+1) + p_(i+2)|. What is missing from the list adds at most 2 p of its last token to their sum. */
void fl_list_tfs(fl_cands *c, const fl_step_values *v) {
    if (c->n <= 2) {
        c->more = c->partial;
        return;
    }
    const double *mass = fl_cands_masses(c, c->n);
    double total = c->total > 0 ? c->total : fl_cands_total(c), sum = 0, rest = 0;
    double *bends = fl_buffer(c->s, FL_BUF_E, (size_t)c->n * sizeof(double));
    int64_t n = c->n - 2, cut;
    c->failed = bends ? FL_OK : FL_NO_MEMORY;
    if (!bends) return;
    for (int64_t i = 0; i < n; i++) {
        bends[i] = fabs((mass[i] / total - mass[i + 1] / total) - (mass[i + 1] / total - mass[i + 2] / total));
        sum += bends[i];
    }
    if (c->partial) rest = 2.0 * mass[n] / total;
    if (sum <= 1e-6) {
        c->more = c->partial;
        for (int64_t i = 0; i < n; i++) bends[i] = 1.0 / (double)n;
        sum = 1.0;
    }
    cut = bend_cut(bends, n, v->value * sum, v->min_keep);
    c->more |= c->partial && (cut == n || bend_cut(bends, n, v->value * (sum + rest), v->min_keep) != cut);
    if (c->more && cut < n) {
        double passed = 0, least = mass[c->n - 1];
        for (int64_t i = 0; i <= cut; i++) passed += bends[i];
        /* The cut is sure once 2 p of the last token is less than passed / z - sum; the sum itself grows meanwhile. */
        c->reach = 0.2 * total * (v->value > 0 ? passed / v->value - sum : 1.0);
        c->reach = c->reach < least / 512 ? least / 512 : c->reach > 0.6 * least ? 0.6 * least : c->reach;
    }
    if (!c->more) fl_cands_keep(c, cut < n ? cut : c->n);
}

/* Of the first 100, q their probabilities among themselves: while the sum of -q ln q stays within h of all of it and
 * q > 0; masses below 2^-1020 are 0 and would add nothing to the sum. */
void fl_list_top_h(fl_cands *c, const fl_step_values *v) {
    fl_cands_keep(c, 100);
    const double *mass = fl_cands_masses(c, c->n);
    double total = fl_cands_total(c), all = 0, sum = 0, log_total = fl_log(total);
    int64_t keep = 0;
    for (int64_t i = 0; i < c->n; i++) all += mass[i] / total * (log_total - (c->logit[i] - c->logit[0]));
    for (; keep < c->n && mass[keep] > 0; keep++) {
        sum += mass[keep] / total * (log_total - (c->logit[keep] - c->logit[0]));
        if (!(sum <= v->value * all)) break;
    }
    fl_cands_keep(c, at_least(at_least(keep, 1), v->min_keep));
}

/* k = max(argmax_i (l_(i-1) - l_i) / i, floor(tau / (max - min))). */
void fl_list_min_k(fl_cands *c, const fl_step_values *v) {
    double least = c->partial ? c->least : c->logit[c->n - 1], range = c->logit[0] - least, steepest = -1;
    int64_t cliff = 1;
    if (range == 0) {
        c->more = c->partial;
        return;
    }
    for (int64_t i = 1; i < c->n; i++) {
        double fall = (c->logit[i - 1] - c->logit[i]) / (double)i;
        if (fall > steepest) cliff = i;
        steepest = fall > steepest ? fall : steepest;
    }
    double most = v->value / range;
    int64_t keep = at_least(most < (double)c->n ? (most > 0 ? (int64_t)most : 0) : c->n, at_least(cliff, v->min_keep));
    c->more = c->partial && (keep >= c->n || (c->logit[c->n - 1] - least) / (double)c->n >= steepest);
    if (!c->more) fl_cands_keep(c, keep);
}

/* The first i - 1, i >= 2 the first prefix whose entropy among itself, over ln i, is below its probability m. A sum of masses
 * e_j = exp(d_j), d_j <= 0, has the entropy ln S - (sum of e_j d_j) / S. The whole list counts with its own sum, so that a
 * uniform row ends with h = m = 1. */
void fl_list_ees(fl_cands *c, const fl_step_values *v) {
    const double *mass = fl_cands_masses(c, c->n);
    double total = c->partial ? c->total : fl_cands_total(c), sum = mass[0], weighted = 0;
    int64_t i = 1;
    for (; i < c->n; i++) {
        sum += mass[i];
        if (mass[i] > 0) weighted += mass[i] * (c->logit[i] - c->logit[0]);
        double entropy = (fl_log(sum) - weighted / sum) / fl_log((double)(i + 1));
        if (entropy < sum / total - 1e-9) break;
    }
    c->more = c->partial && (i == c->n || i < v->min_keep);
    if (!c->more) fl_cands_keep(c, i < c->n ? at_least(i, v->min_keep) : c->n);
}

static int is_special(const fl_step_values *v, int64_t id) {
    for (int64_t i = 0; i < v->entries; i++)
        if (v->ids[i] == id) return 1;
    return 0;
}

int64_t fl_xtc_removed(fl_cands *c, const fl_step_values *v, int64_t alive, int32_t *keep) {
    const double *mass = fl_cands_masses(c, c->n);
    double total = c->total > 0 ? c->total : fl_cands_total(c);
    int64_t reach = 0, removed = 0;
    int strict = v->flags & FL_STRICT, ties = v->flags & FL_TIES_KEEP;
    while (reach < c->n && (strict ? mass[reach] / total > v->second : mass[reach] / total >= v->second)) reach++;
    for (int64_t i = 0; i < c->n; i++) {
        keep[i] = !(v->u < v->value && i + 1 < reach) || is_special(v, c->id[i]);
        keep[i] |= ties && reach > 0 && c->logit[i] == c->logit[reach - 1];
        removed += !keep[i];
    }
    return alive - removed < v->min_keep ? 0 : removed;
}

void fl_list_xtc(fl_cands *c, const fl_step_values *v) {
    if (fl_xtc_removed(c, v, c->n, c->order)) fl_cands_compact(c, c->order);
}
