/* verify.c: speculative decoding, exact: drafted tokens are accepted or refused so that what is emitted follows the
 * target distribution p whatever the drafts (Leviathan, Kalman and Matias, 2023; Chen et al., 2023).
 *
 * At each node the children are asked in order: x is accepted if u q(x) < p(x), q being what it was drawn from; else p
 * becomes norm(max(p - q, 0)) and the next child is asked (Miao et al., 2024). Children drawn without replacement: q loses
 * x and is renormalised too (Jeon et al., 2024). A draft without probabilities has q = 1 at its token. If no child is
 * accepted the token is drawn from the last p; behind a node without children it is drawn as ever. Both distributions come
 * from the plan, of which only the probabilities at hand are asked: a list, or logits and a total. */
#include "pipeline.h"

enum { ACCEPT = 4, RECOVER = 5 }; /* last words of the counters; 0 to 3 are those of draws */
enum { TRIALS = 64 };

/* A distribution: a processed row, or probabilities as they are given, or none. */
typedef struct {
    fl_job job;
    fl_dense dense;
    double total;
    int64_t n; /* by id, once they were asked for */
    int32_t *ids;
    double *shares;
    fl_row row;
    int given, none;
} law;

typedef struct {
    const fl_kernels *k;
    fl_scratch *s[2];
    const fl_plan *plan, *draft_plan;
    const fl_inputs *in;
    const fl_drafts *d;
    fl_results nothing;
    int64_t r, node, depth, position;
    fl_context context;
    int64_t *path; /* the context with the accepted tokens */
    law p, q;
    int64_t n; /* the residual: p on its support, q beside it; ids NULL: all tokens */
    int32_t *ids;
    double *left, *drafted, q_total;
    fl_where where;
} verification;

static double uniform_at(const verification *v, int64_t which, uint64_t purpose, double *other) {
    uint64_t counter[4] = {(uint64_t)(v->position + v->depth), (uint64_t)which, 0, purpose}, w[4];
    fl_philox(v->in->seed, (uint64_t)fl_integer_at(v->in->keys, v->r, v->r), counter, w);
    if (other) *other = (double)(w[1] >> 11) * 0x1p-53;
    return (double)(w[0] >> 11) * 0x1p-53;
}

static int failed(verification *v, const fl_job *j, int64_t row, int draft) {
    v->where = j->where;
    v->where.row = row;
    v->where.status += draft ? FL_OF_DRAFT : 0;
    return v->where.status;
}

/* The distribution of row `row` under the context so far. */
static int read_law(verification *v, law *l, int draft, int64_t row) {
    const fl_rows *x = draft ? v->d->draft : v->d->target;
    fl_job *j = &l->job;
    fl_context c = v->context;
    c.n += v->depth;
    l->given = l->none = 0;
    l->n = -1;
    fl_job_begin(j, v->k, v->s[draft], draft ? v->draft_plan : v->plan, v->in, &v->nothing, v->r);
    j->kept = &l->dense;
    if (fl_run_row(j, draft ? v->draft_plan : v->plan, x, row, c, v->position + v->depth))
        return failed(v, j, row, draft);
    l->total = j->is_dense ? 0 : fl_cands_total(&j->list);
    return FL_OK;
}

static int read_given(verification *v, int64_t row) {
    law *l = &v->q;
    l->given = 1;
    l->none = 0;
    l->n = -1;
    l->job.where = (fl_where){.status = FL_NO_MEMORY, .step = -1};
    if (fl_row_open(v->s[1], v->k, v->d->probs, row, &l->row)) return failed(v, &l->job, row, 1);
    int64_t infinite = v->k->row_count[l->row.dtype](l->row.x, l->row.n, NULL, FLT_MAX);
    if (!infinite && v->k->row_count[l->row.dtype](l->row.x, l->row.n, NULL, 0.0f) == l->row.n) return FL_OK;
    l->job.where.status = infinite ? FL_POS_INF : FL_NEGATIVE;
    for (int64_t i = 0; i < l->row.n; i++)
        if (fl_row_value(&l->row, i) != fl_row_value(&l->row, i)) l->job.where.status = FL_NAN;
    return failed(v, &l->job, row, 1);
}

/* The list's survivors by id. FL_OK or FL_NO_MEMORY. */
static int by_id(law *l) {
    fl_cands *c = &l->job.list;
    if (l->n >= 0) return FL_OK;
    l->shares = fl_buffer(l->job.s, FL_BUF_BY_ID, (size_t)(c->raw + 1) * (sizeof(double) + sizeof(int32_t)));
    if (!l->shares) return FL_NO_MEMORY;
    l->ids = (int32_t *)(void *)(l->shares + c->raw + 1);
    const double *mass = fl_cands_masses(c, c->n);
    memset(l->shares, 0, (size_t)c->raw * sizeof(double));
    for (int64_t i = 0; i < c->n; i++) l->shares[c->pos[i]] = mass[i] / l->total;
    l->n = 0;
    for (int64_t i = 0; i < c->raw; i++) {
        l->shares[l->n] = l->shares[i];
        l->ids[l->n] = c->raw_id[i];
        l->n += l->shares[i] > 0;
    }
    return FL_OK;
}

static double share_of(law *l, int64_t id) {
    const fl_job *j = &l->job;
    if (l->none) return 1;
    if (l->given) return fl_row_value(&l->row, id);
    if (j->is_dense) {
        double logit = fl_dense_logit(j, &l->dense, id);
        if (l->dense.uniform) return logit >= -DBL_MAX ? 1.0 / (double)l->dense.uniform : 0;
        return fl_exp((logit - j->top) - l->dense.log_total);
    }
    if (l->n < 0) {
        for (int64_t i = 0; i < j->list.n; i++)
            if (j->list.id[i] == id) return fl_exp(j->list.logit[i] - j->list.logit[0]) / l->total;
        return 0;
    }
    int64_t low = 0, high = l->n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (l->ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < l->n && l->ids[low] == id ? l->shares[low] : 0;
}

/* p on its support and q beside it, before the first refusal. */
static int open_residual(verification *v) {
    int dense = v->p.job.is_dense, lists = !dense && !v->q.none && !v->q.given && !v->q.job.is_dense;
    v->q_total = 1;
    if ((!dense && by_id(&v->p)) || (lists && by_id(&v->q))) return FL_NO_MEMORY;
    v->n = dense ? v->d->target->n : v->p.n;
    v->ids = dense ? NULL : v->p.ids;
    v->left = fl_buffer(v->s[0], FL_BUF_RESIDUAL, (size_t)v->n * 2 * sizeof(double));
    if (!v->left) return FL_NO_MEMORY;
    v->drafted = v->left + v->n;
    for (int64_t i = 0; i < v->n; i++) {
        int64_t id = v->ids ? v->ids[i] : i;
        v->left[i] = dense ? share_of(&v->p, id) : v->p.shares[i];
        v->drafted[i] = v->q.none ? 0 : share_of(&v->q, id);
    }
    return FL_OK;
}

static int64_t place_of(const verification *v, int64_t id) {
    if (!v->ids) return id;
    for (int64_t i = 0; i < v->n; i++)
        if (v->ids[i] == id) return i;
    return -1;
}

static double drafted_at(const verification *v, int64_t i) {
    return v->drafted[i] > 0 ? (v->q_total > 0 ? v->drafted[i] / v->q_total : 1) : 0;
}

/* p becomes norm(max(p - q, 0)), or stays where rounding leaves nothing of it; then q without x. */
static void refuse(verification *v, int64_t x) {
    int64_t at = place_of(v, x);
    double sum = 0;
    for (int64_t i = 0; i < v->n; i++) {
        double q = v->q.none ? i == at : drafted_at(v, i);
        sum += v->left[i] > q ? v->left[i] - q : 0;
    }
    for (int64_t i = 0; i < v->n && sum > 0; i++) {
        double q = v->q.none ? i == at : drafted_at(v, i);
        v->left[i] = v->left[i] > q ? (v->left[i] - q) / sum : 0;
    }
    if (v->q.none || !v->d->distinct) return;
    v->q_total -= share_of(&v->q, x);
    if (at >= 0) v->drafted[at] = 0;
}

static int64_t draw_residual(const verification *v, double u) {
    double total = 0, running = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < v->n; i++) total += v->left[i];
    for (int64_t i = 0; i < v->n; i++) {
        if (!(v->left[i] > 0)) continue;
        last = i;
        running += v->left[i];
        if (running > u * total) break;
    }
    return v->ids ? v->ids[last] : last;
}

/* A token of p, by the inverse of its running mass. */
static int64_t draw_law(const law *l, double u) {
    if (l->job.is_dense) return fl_dense_draw(&l->job, &l->dense, u);
    double total = 0, running = 0;
    int64_t i = 0;
    for (int64_t at = 0; at < l->n; at++) total += l->shares[at];
    while (i < l->n - 1 && !((running += l->shares[i]) > u * total)) i++;
    return l->ids[i];
}

/* A token of norm(max(p - q, 0)) without a sum over p: drawn from p, kept with probability 1 - q / p. -1: not found. */
static int64_t try_residual(verification *v, int64_t x) {
    for (int64_t t = 0; t < TRIALS; t++) {
        double keep, u = uniform_at(v, t, RECOVER, &keep);
        int64_t id = draw_law(&v->p, u);
        double p = id < 0 ? 0 : share_of(&v->p, id), q = v->q.none ? id == x : share_of(&v->q, id);
        if (keep * p < p - q) return id;
    }
    return -1;
}

/* The child of the node behind `child`, -1 if there is none. */
static int64_t next_child(const verification *v, int64_t child) {
    const fl_drafts *d = v->d;
    const int64_t *ids = d->ids + v->r * d->drafts, *parents = d->parents ? d->parents + v->r * d->drafts : NULL;
    for (int64_t i = child + 1; i < d->drafts && ids[i] >= 0; i++)
        if (parents ? parents[i] == v->node : i == v->node + 1) return i;
    return -1;
}

static void emit(verification *v, int64_t token) { v->d->emitted[v->r * (v->d->drafts + 1) + v->depth] = token; }

/* The token behind a node without children, drawn as `sample` draws it. */
static int draw_plainly(verification *v) {
    fl_job *j = &v->p.job;
    int64_t row = v->r * (v->d->drafts + 1) + v->node + 1;
    int status = read_law(v, &v->p, 0, row);
    if (status) return status;
    if (j->is_dense ? fl_draw_dense(j, &v->p.dense) : fl_draw_list(j)) return failed(v, j, row, 0);
    emit(v, j->drawn.id[0]);
    return FL_OK;
}

/* Asks the children of the node, of which `child` is the first; -1 if none was accepted. */
static int64_t ask_children(verification *v, int64_t child, int *status) {
    const int64_t *ids = v->d->ids + v->r * v->d->drafts;
    int64_t last = child;
    for (int64_t asked = 0; child >= 0; asked++, child = next_child(v, child)) {
        int64_t x = ids[child], at = asked ? place_of(v, x) : 0;
        double p = asked ? (at >= 0 ? v->left[at] : 0) : share_of(&v->p, x);
        double q = share_of(&v->q, x) / (asked && v->d->distinct && v->q_total > 0 ? v->q_total : 1);
        if (uniform_at(v, asked, ACCEPT, NULL) * q < p) return child;
        last = child;
        if (!asked && next_child(v, child) < 0) break;
        if (!asked && open_residual(v)) *status = FL_NO_MEMORY;
        if (*status) return -1;
        refuse(v, x);
    }
    if (child >= 0) { /* an only child */
        if (!v->p.job.is_dense && by_id(&v->p)) *status = FL_NO_MEMORY;
        int64_t id = *status ? -1 : try_residual(v, ids[last]);
        if (id >= 0) {
            emit(v, id);
            return -1;
        }
        if (*status || open_residual(v)) *status = FL_NO_MEMORY;
        if (*status) return -1;
        refuse(v, ids[last]);
    }
    emit(v, draw_residual(v, uniform_at(v, TRIALS, RECOVER, NULL)));
    return -1;
}

static int verify_row(verification *v) {
    const fl_drafts *d = v->d;
    int64_t child = next_child(v, -1);
    for (;; child = next_child(v, v->node)) {
        int status = FL_OK;
        int64_t row = v->node + 1;
        if (child < 0) return draw_plainly(v);
        status = read_law(v, &v->p, 0, v->r * (d->drafts + 1) + row);
        v->q.none = 1;
        v->q.given = 0;
        if (!status && d->draft) status = read_law(v, &v->q, 1, v->r * d->draft_rows + row);
        if (!status && d->probs) status = read_given(v, v->r * d->draft_rows + row);
        if (status) return status;
        int64_t taken = ask_children(v, child, &status);
        if (status) v->where = (fl_where){.status = status, .step = -1, .row = v->r};
        if (status || taken < 0) return status;
        int64_t token = d->ids[v->r * d->drafts + taken];
        emit(v, token);
        d->path[v->r * d->drafts + v->depth] = taken;
        v->path[v->context.n + v->depth++] = token;
        v->node = taken;
        d->accepted[v->r] = v->depth;
    }
}

/* The context of the row with room for the drafts, and the row's results as they stand when nothing is accepted. */
static int begin_row(verification *v, int64_t r) {
    const fl_drafts *d = v->d;
    v->r = r;
    v->node = -1;
    v->depth = 0;
    v->context = fl_context_of(v->in, r);
    v->position = fl_integer_at(v->in->position, r, v->context.n);
    v->path = fl_buffer(v->s[0], FL_BUF_PATH, (size_t)(v->context.n + d->drafts + 1) * sizeof(int64_t));
    if (!v->path) return FL_NO_MEMORY;
    if (v->context.n) memcpy(v->path, v->context.ids, (size_t)v->context.n * sizeof(int64_t));
    v->context.ids = v->path;
    d->accepted[r] = 0;
    for (int64_t i = 0; i <= d->drafts; i++) d->emitted[r * (d->drafts + 1) + i] = -1;
    for (int64_t i = 0; i < d->drafts; i++) d->path[r * d->drafts + i] = -1;
    return FL_OK;
}

fl_where fl_verify(const fl_kernels *k, fl_scratch *const *s, const fl_plan *plan, const fl_plan *draft_plan,
                   const fl_inputs *in, const fl_drafts *d, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    fl_where first = {.step = -1};
    verification v = {.k = k, .s = {s[0], s[1]}, .plan = plan, .draft_plan = draft_plan, .in = in, .d = d};
    for (int64_t r = begin; r < end; r++) {
        v.where = (fl_where){.status = FL_NO_MEMORY, .step = -1, .row = r};
        int status = begin_row(&v, r);
        if (!status) status = verify_row(&v);
        if (d->status) d->status[r] = status % FL_OF_DRAFT;
        if (!status) continue;
        if (first.status == FL_OK) first = v.where;
        if (!d->status || status % FL_OF_DRAFT == FL_NO_MEMORY) break;
        begin_row(&v, r);
    }
    fl_env_leave(saved);
    return first;
}
