/* verify.c: speculative decoding, exact: drafted tokens are accepted or refused so that what is emitted follows the
 * target distribution p whatever the drafts (Leviathan, Kalman and Matias, 2023; Chen et al., 2023).
 *
 * At each node the children are asked in order: x is accepted if u q(x) < p(x), q being what it was drawn from; else p
 * becomes norm(max(p - q, 0)) and the next child is asked (Miao et al., 2024). Children drawn without replacement: q loses
 * x and is renormalised too (Jeon et al., 2024). A draft without probabilities has q = 1 at its token. If no child is
 * accepted the token is drawn from the last p; behind a node without children it is drawn as ever. A token with q = 0 cannot
 * have been drawn: it is refused as an input.
 *
 * A sequence with a history walks along copies of it: accepted tokens are added to them, and the steps that remember hear
 * what they were under p, or under q those of the drafts. */
#include "plan/run_rows.h"
#include "verify/distribution.h"

enum { ACCEPT = 4, RECOVER = 5 }; /* last words of the counters; 0 to 3 are those of draws */
enum { TRIALS = 64 };

typedef struct {
    const fl_kernels *k;
    fl_scratch *s[2];
    const fl_plan *plan, *draft_plan;
    fl_inputs in;
    const fl_drafts *d;
    fl_results nothing;
    int64_t r, node, depth, position, key;
    fl_context context;
    int64_t *path;          /* the context with the accepted tokens */
    const fl_sequence *own; /* or NULL; its history with these tokens, and as the drafts heard them: */
    fl_history *heard[2];
    fl_law p, q;
    int64_t n; /* the residual: p on its support, q beside it; ids NULL: all tokens */
    int32_t *ids;
    double *left, *drafted, q_total;
    fl_where where;
} verification;

static double uniform_at(const verification *v, int64_t which, uint64_t purpose, double *other) {
    uint64_t counter[4] = {(uint64_t)(v->position + v->depth), (uint64_t)which, 0, purpose}, w[4];
    fl_philox(v->in.seed, (uint64_t)v->key, counter, w);
    if (other) *other = (double)(w[1] >> 11) * 0x1p-53;
    return (double)(w[0] >> 11) * 0x1p-53;
}

static int failed(verification *v, fl_where where, int64_t row, int draft) {
    v->where = where;
    v->where.row = row;
    v->where.status += draft ? FL_OF_DRAFT : 0;
    return v->where.status;
}

/* The distribution of row `row` under the context so far. */
static int read_law(verification *v, int draft, int64_t row) {
    fl_law *l = draft ? &v->q : &v->p;
    fl_job *j = &l->job;
    const fl_plan *plan = draft ? v->draft_plan : v->plan;
    fl_job_begin(j, v->k, v->s[draft], plan, &v->in, &v->nothing, v->r);
    const double *memory = NULL;
    j->edits.context = v->context;
    j->edits.context.n += v->own ? 0 : v->depth;
    if (v->own) {
        const fl_history *h = v->heard[draft];
        j->edits.context = (fl_context){h->tokens, h->n, h->prompt_length, h};
        memory = fl_remembered(h, plan);
    }
    j->position = v->position + v->depth;
    j->key = v->key;
    int status = fl_law_read(l, plan, draft ? v->d->draft : v->d->target, row, v->own ? v->own->row : v->r, memory,
                             v->own && v->own->history->width);
    return status ? failed(v, j->where, row, draft) : FL_OK;
}

static int read_given(verification *v, int64_t row) {
    int status = fl_law_given(&v->q, v->k, v->s[1], v->d->probs, row);
    return status ? failed(v, (fl_where){.status = status, .step = -1}, row, 1) : FL_OK;
}

/* p on its support and q beside it, before the first refusal. */
static int open_residual(verification *v) {
    int dense = v->p.job.is_dense, lists = !dense && !v->q.none && !v->q.given && !v->q.job.is_dense;
    v->q_total = 1;
    if ((!dense && fl_law_list(&v->p)) || (lists && fl_law_list(&v->q))) return FL_NO_MEMORY;
    v->n = dense ? v->d->target->n : v->p.n;
    v->ids = dense ? NULL : v->p.ids;
    v->left = fl_buffer(v->s[0], FL_BUF_RESIDUAL, (size_t)v->n * 2 * sizeof(double));
    if (!v->left) return FL_NO_MEMORY;
    v->drafted = v->left + v->n;
    for (int64_t i = 0; i < v->n; i++) {
        int64_t id = v->ids ? v->ids[i] : i;
        v->left[i] = dense ? fl_law_share(&v->p, id) : v->p.shares[i];
        v->drafted[i] = v->q.none ? 0 : fl_law_share(&v->q, id);
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
    v->q_total -= fl_law_share(&v->q, x);
    if (at >= 0) v->drafted[at] = 0;
}

/* -1 where nothing is left. */
static int64_t draw_residual(const verification *v, double u) {
    double total = 0, running = 0;
    int64_t last = -1;
    for (int64_t i = 0; i < v->n; i++) total += v->left[i];
    for (int64_t i = 0; i < v->n; i++) {
        if (!(v->left[i] > 0)) continue;
        last = i;
        running += v->left[i];
        if (running > u * total) break;
    }
    return v->ids && last >= 0 ? v->ids[last] : last;
}

/* A token of norm(max(p - q, 0)) without a sum over p: drawn from p, kept with probability 1 - q / p. -1: not found. */
static int64_t try_residual(verification *v, int64_t x) {
    for (int64_t t = 0; t < TRIALS; t++) {
        double keep, u = uniform_at(v, t, RECOVER, &keep);
        int64_t id = fl_law_draw(&v->p, u);
        if (id < 0) return -1;
        double p = fl_law_share(&v->p, id), q = v->q.none ? id == x : fl_law_share(&v->q, id);
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

/* A token, and what it is to the steps that remember: whichever way it came about, it follows p. */
static void emit(verification *v, int64_t token) {
    v->d->emitted[v->r * (v->d->drafts + 1) + v->depth] = token;
    if (!v->own || !v->own->observed) return;
    memcpy(v->own->observed + v->depth * FL_MAX_STEPS, fl_law_observe(&v->p, token), FL_MAX_STEPS * sizeof(double));
}

static int hear(verification *v, int draft, fl_law *l, int64_t token) {
    const fl_sequence *own = v->own;
    fl_history *mine = fl_history_own(v->heard[draft]);
    if (!mine) return FL_NO_MEMORY;
    v->heard[draft] = mine;
    const double *observed = own->history->width && l ? fl_law_observe(l, token) : NULL;
    return fl_history_accept(mine, &token, 1, own->plan, own->row, observed, observed != NULL);
}

/* The drafted token `node` is accepted. */
static int accept(verification *v, int64_t node) {
    const fl_drafts *d = v->d;
    int64_t token = d->ids[v->r * d->drafts + node];
    emit(v, token);
    if (v->own && (hear(v, 0, &v->p, token) || (d->draft && hear(v, 1, &v->q, token)))) return FL_NO_MEMORY;
    if (!v->own) v->path[v->context.n + v->depth] = token;
    d->path[v->r * d->drafts + v->depth++] = node;
    v->node = node;
    d->accepted[v->r] = v->depth;
    return FL_OK;
}

/* The token behind a node without children, drawn as `sample` draws it. */
static int draw_plainly(verification *v) {
    fl_job *j = &v->p.job;
    int64_t row = v->r * (v->d->drafts + 1) + v->node + 1;
    int status = read_law(v, 0, row);
    if (status) return status;
    if (fl_law_sample(&v->p)) return failed(v, j->where, row, 0);
    emit(v, j->drawn.id[0]);
    return FL_OK;
}

/* Asks the children of the node, of which `child` is the first; -1 if none was accepted. */
static int64_t ask_children(verification *v, int64_t child, int *status) {
    const int64_t *ids = v->d->ids + v->r * v->d->drafts;
    int64_t last = child;
    for (int64_t asked = 0; child >= 0; asked++, child = next_child(v, child)) {
        int64_t x = ids[child], at = asked ? place_of(v, x) : 0;
        double p = asked ? (at >= 0 ? v->left[at] : 0) : fl_law_share(&v->p, x), q = fl_law_share(&v->q, x);
        if (!(q > 0))
            *status = failed(v, (fl_where){.status = FL_UNDRAWN, .step = -1, .value = (double)child}, v->r, 0);
        if (*status) return -1;
        q /= asked && v->d->distinct && v->q_total > 0 ? v->q_total : 1;
        if (uniform_at(v, asked, ACCEPT, NULL) * q < p) return child;
        last = child;
        if (!asked && next_child(v, child) < 0) break;
        if (!asked && open_residual(v)) *status = FL_NO_MEMORY;
        if (*status) return -1;
        refuse(v, x);
    }
    if (child >= 0) { /* an only child */
        if (!v->p.job.is_dense && fl_law_list(&v->p)) *status = FL_NO_MEMORY;
        int64_t id = *status ? -1 : try_residual(v, ids[last]);
        if (id >= 0) {
            emit(v, id);
            return -1;
        }
        if (*status || open_residual(v)) *status = FL_NO_MEMORY;
        if (*status) return -1;
        refuse(v, ids[last]);
    }
    int64_t id = draw_residual(v, uniform_at(v, TRIALS, RECOVER, NULL));
    if (id < 0)
        *status = failed(v, (fl_where){.status = FL_CHANGED, .step = -1}, v->r * (v->d->drafts + 1) + v->node + 1, 0);
    else
        emit(v, id);
    return -1;
}

static int verify_row(verification *v) {
    const fl_drafts *d = v->d;
    int64_t child = next_child(v, -1);
    for (;; child = next_child(v, v->node)) {
        int status = FL_OK;
        int64_t row = v->node + 1;
        if (child < 0) return draw_plainly(v);
        status = read_law(v, 0, v->r * (d->drafts + 1) + row);
        fl_law_none(&v->q);
        if (!status && (d->draft || d->probs) && row >= d->draft_rows)
            status = failed(v, (fl_where){.status = FL_UNDRAWN, .step = -1, .value = (double)child}, v->r, 0);
        if (!status && d->draft) status = read_law(v, 1, v->r * d->draft_rows + row);
        if (!status && d->probs) status = read_given(v, v->r * d->draft_rows + row);
        if (status) return status;
        int64_t taken = ask_children(v, child, &status);
        if (!status && taken >= 0) status = accept(v, taken);
        if (status == FL_NO_MEMORY) v->where = (fl_where){.status = status, .step = -1, .row = v->r};
        if (status || taken < 0) return status;
    }
}

/* The row's results as they stand when nothing is accepted. */
static void clear_row(const fl_drafts *d, int64_t r) {
    d->accepted[r] = 0;
    for (int64_t i = 0; i <= d->drafts; i++) d->emitted[r * (d->drafts + 1) + i] = -1;
    for (int64_t i = 0; i < d->drafts; i++) d->path[r * d->drafts + i] = -1;
}

/* The row's history, or its context with room for the drafts. */
static int begin_row(verification *v, int64_t r) {
    const fl_drafts *d = v->d;
    v->r = r;
    v->node = -1;
    v->depth = 0;
    clear_row(d, r);
    v->context = fl_context_of(&v->in, r);
    v->position = v->own ? v->own->position : fl_integer_at(v->in.position, r, v->context.n);
    v->key = v->own ? v->own->key : fl_integer_at(v->in.keys, r, r);
    v->in.seed = (uint64_t)fl_integer_at(v->in.seeds, r, (int64_t)v->in.seed);
    for (int i = 0; v->own && i < 2; i++) v->heard[i] = fl_history_share(v->own->history);
    if (v->own) return FL_OK;
    v->path = fl_buffer(v->s[0], FL_BUF_PATH, (size_t)(v->context.n + d->drafts + 1) * sizeof(int64_t));
    if (!v->path) return FL_NO_MEMORY;
    if (v->context.n) memcpy(v->path, v->context.ids, (size_t)v->context.n * sizeof(int64_t));
    v->context.ids = v->path;
    for (int64_t i = 0; i < v->context.n; i++)
        if ((v->path[i] < 0 && !v->in.placeholders) || v->path[i] >= d->target->n)
            return failed(v, (fl_where){.status = FL_CHANGED, .step = -1}, r * (d->drafts + 1), 0);
    return FL_OK;
}

static void end_row(verification *v) {
    for (int i = 0; v->own && i < 2; i++) fl_history_free(v->heard[i]);
}

fl_where fl_verify(const fl_kernels *k, fl_scratch *const *s, const fl_plan *plan, const fl_plan *draft_plan,
                   const fl_inputs *in, const fl_drafts *d, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    fl_where first = {.step = -1};
    verification v = {.k = k, .s = {s[0], s[1]}, .plan = plan, .draft_plan = draft_plan, .in = *in, .d = d};
    v.in.sequences = NULL; /* its histories are those of the walk */
    for (int64_t r = begin; r < end; r++) {
        v.where = (fl_where){.status = FL_NO_MEMORY, .step = -1, .row = r};
        v.own = in->sequences ? &in->sequences[r] : NULL;
        int status = begin_row(&v, r);
        if (!status) status = verify_row(&v);
        end_row(&v);
        if (d->status) d->status[r] = status % FL_OF_DRAFT;
        if (!status) continue;
        if (first.status == FL_OK) first = v.where;
        if (!d->status || status % FL_OF_DRAFT == FL_NO_MEMORY) break;
        clear_row(d, r);
    }
    fl_env_leave(saved);
    return first;
}
