/* output_list.c: from the list of survivors to tokens, probabilities, logits, candidates and log-probs. */
#include "plan/job.h"

/* ln of the list's total mass in units of its first: ln(1 + rest). */
static double log_total_of(fl_cands *c) {
    const double *mass = fl_cands_masses(c, c->n);
    double rest = 0;
    for (int64_t i = c->n - 1; i > 0; i--) rest += mass[i];
    return fl_log1p(rest);
}

double fl_list_logprob(fl_cands *c, int64_t id) {
    int64_t at = 0;
    while (at < c->n - 1 && c->id[at] != id) at++;
    return (c->logit[at] - c->logit[0]) - log_total_of(c);
}

/* A listed token's place in raw. */
static int64_t place_in_list(const fl_cands *c, int64_t id) {
    int64_t at = 0;
    while (at < c->raw - 1 && c->raw_id[at] != id) at++;
    return at;
}

void fl_observe(fl_job *j, int64_t id, double logprob) {
    const fl_program *p = &j->program;
    int64_t pos = p->shares ? place_in_list(&j->list, id) : 0;
    for (int32_t i = 0; i < p->count; i++) {
        const fl_step_values *v = &p->at[i];
        if (v->hears == FL_HEARS_SURPRISE) j->observed[v->index] = -logprob * 0x1.71547652b82fep0;
        if (v->hears == FL_HEARS_SHARE) j->observed[v->index] = j->list.shares[v->slot * j->list.raw + pos];
    }
}

int fl_only_ids(const fl_job *j) {
    const fl_results *o = j->out;
    return !o->logprobs && !o->ranks && !o->top_n && !o->raw_logprobs && !j->observed;
}

int fl_drawn_open(fl_job *j) {
    size_t room = j->out->draws > 0 ? (size_t)j->out->draws : 1;
    char *p = fl_buffer(j->s, FL_BUF_DRAWN, room * 2 * (sizeof(int64_t) + sizeof(double)));
    if (!p) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    j->drawn = (fl_drawn){.room = (int64_t)room, .id = (int64_t *)(void *)p};
    j->drawn.rank = j->drawn.id + room;
    j->drawn.logit = (double *)(void *)(j->drawn.rank + room);
    j->drawn.perturbed = j->drawn.logit + room;
    return FL_OK;
}

/* Log-softmax of the drawn tokens in the logits as they came. */
static int report_raw(fl_job *j) {
    const fl_drawn *d = &j->drawn;
    double *raw = j->out->raw_logprobs + j->r * d->room;
    fl_mass m;
    fl_row *row = j->parts_n ? j->parts : &j->row;
    for (int64_t i = 0; i < d->n; i++) raw[i] = fl_row_value(row, d->id[i]);
    if (j->parts_n && row->wide && fl_row_image(j->s, j->k, row, row->wide)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    int status = fl_mass_run(j->k, j->s, row, NULL, 1.0, -FLT_MAX, 0, &m);
    if (status) return fl_fail(j, status, -1, 0);
    j->trace.passes += (int32_t)m.passes;
    for (int64_t i = 0; i < d->n; i++)
        raw[i] = d->id[i] == m.at ? -fl_log1p(m.rest) : (raw[i] - m.top) - fl_log1p(m.rest);
    return FL_OK;
}

int fl_report_drawn(fl_job *j, double top, double log_total) {
    const fl_results *o = j->out;
    const fl_drawn *d = &j->drawn;
    if (j->observed) fl_observe(j, d->id[0], (d->logit[0] - top) - log_total);
    for (int64_t i = 0; i < d->room; i++) {
        int64_t at = j->r * d->room + i;
        int there = i < d->n;
        o->ids[at] = there ? d->id[i] : -1;
        if (o->ranks) o->ranks[at] = there ? d->rank[i] : -1;
        if (o->perturbed) o->perturbed[at] = there ? d->perturbed[i] : -(double)INFINITY;
        if (o->logprobs) o->logprobs[at] = there ? (d->logit[i] - top) - log_total : -(double)INFINITY;
        if (o->raw_logprobs) o->raw_logprobs[at] = -(double)INFINITY;
    }
    return o->raw_logprobs ? report_raw(j) : FL_OK;
}

void fl_report_best(fl_job *j, const fl_cands *c, double log_total) {
    const fl_results *o = j->out;
    for (int64_t i = 0; i < o->top_n; i++) {
        int64_t at = j->r * o->top_n + i;
        o->top_ids[at] = i < c->n ? c->id[i] : -1;
        o->top_logprobs[at] = i < c->n ? (c->logit[i] - c->logit[0]) - log_total : -(double)INFINITY;
    }
}

/* Inverse of the running mass in token-id order: the first survivor whose running mass exceeds u * total. running: by
 * place in raw. */
static int64_t place_of(const double *running, int64_t n, double u) {
    double total = running[n - 1], target = u * total;
    int64_t low = 0, high = n - 1; /* where rounding made the target the total, the last that adds to it */
    if (!(target < total)) target = total - total * 0x1p-53;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (running[mid] > target)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

int fl_draw_list(fl_job *j) {
    fl_cands *c = &j->list;
    fl_drawn *d = &j->drawn;
    double *running = fl_buffer(j->s, FL_BUF_E, (size_t)(c->raw + 1) * sizeof(double));
    int status = fl_drawn_open(j);
    if (status || !running) return status ? status : fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (j->gumbel) return fl_gumbel_list(j);
    const double *mass = fl_cands_masses(c, c->n);
    memset(running, 0, (size_t)c->raw * sizeof(double));
    for (int64_t i = 0; i < c->n; i++) running[c->pos[i]] = mass[i];
    for (int64_t i = 1; i < c->raw; i++) running[i] += running[i - 1];
    for (; d->n < d->room; d->n++) {
        int64_t at = 0, drawn = c->n > 1 ? place_of(running, c->raw, fl_draw_u(j, d->n)) : c->pos[0];
        while (at < c->n - 1 && c->pos[at] != drawn) at++;
        d->id[d->n] = c->id[at];
        d->logit[d->n] = c->logit[at];
    }
    return FL_OK;
}

/* The drawn tokens, and the likeliest ones, either if wanted. */
static int report_tokens(fl_job *j) {
    fl_cands *c = &j->list;
    fl_drawn *d = &j->drawn;
    int drawn = j->out->ids != NULL, status = drawn ? fl_draw_list(j) : FL_OK;
    if (status) return status;
    if (drawn && fl_only_ids(j)) return fl_report_drawn(j, 0, 0);
    double log_total = log_total_of(c);
    for (int64_t i = 0; drawn && i < d->n; i++) {
        int64_t above = 0;
        while (c->logit[above] > d->logit[i]) above++;
        d->rank[i] = above + 1;
    }
    fl_report_best(j, c, log_total);
    return drawn ? fl_report_drawn(j, c->logit[0], log_total) : FL_OK;
}

static void fill_row(const fl_rows *out, int64_t r, double v) {
    char *to = fl_row_address(out, r);
    char value[8];
    int64_t size = fl_value_size(out->dtype);
    fl_store_values(&v, 1, value, 0, out->dtype);
    if (v == 0 && out->stride == size) {
        memset(to, 0, (size_t)(out->n * size));
        return;
    }
    if (out->stride == size) {
        /* The first values one by one, the rest as copies of them. */
        int64_t first = out->n < 1024 ? out->n : 1024;
        for (int64_t i = 0; i < first; i++) memcpy(to + i * size, value, (size_t)size);
        for (int64_t i = first; i < out->n; i += first)
            memcpy(to + i * size, to, (size_t)((out->n - i < first ? out->n - i : first) * size));
        return;
    }
    for (int64_t i = 0; i < out->n; i++) memcpy(to + i * out->stride, value, (size_t)size);
}

/* Logit i as it is told: after renormalising its log-prob. */
static double told(const fl_job *j, int64_t i, double log_total) {
    const double *logit = j->list.logit;
    return j->program.renormalise ? (logit[i] - logit[0]) - log_total : logit[i];
}

static int write_logits(fl_job *j) {
    const fl_rows *out = j->out->logits;
    double log_total = j->program.renormalise ? log_total_of(&j->list) : 0;
    int status = fl_fits(j, out, told(j, 0, log_total));
    if (status) return status;
    fill_row(out, j->r, -(double)INFINITY);
    for (int64_t i = 0; i < j->list.n; i++) fl_store_at(out, j->r, j->list.id[i], told(j, i, log_total));
    return FL_OK;
}

static int write_probs(fl_job *j) {
    fl_cands *c = &j->list;
    const double *mass = fl_cands_masses(c, c->n);
    double low, total = fl_sum(mass, c->n, &low);
    fill_row(j->out->probs, j->r, 0.0);
    for (int64_t i = 0; i < c->n; i++) fl_store_at(j->out->probs, j->r, c->id[i], mass[i] / total);
    return FL_OK;
}

static int grow(fl_listing *l, int64_t more) {
    if (l->count + more <= l->room) return 0;
    int64_t room = 2 * (l->count + more);
    void *ids = realloc(l->ids, (size_t)room * sizeof(int64_t));
    if (ids) l->ids = ids;
    void *logits = realloc(l->logits, (size_t)room * sizeof(double));
    if (logits) l->logits = logits;
    void *logprobs = realloc(l->logprobs, (size_t)room * sizeof(double));
    if (logprobs) l->logprobs = logprobs;
    if (!ids || !logits || !logprobs) return -1;
    l->room = room;
    return 0;
}

static int write_listing(fl_job *j) {
    fl_cands *c = &j->list;
    fl_listing *l = j->out->listing;
    double log_total = log_total_of(c);
    if (grow(l, c->n)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    for (int64_t i = 0; i < c->n; i++) {
        l->ids[l->count] = c->id[i];
        l->logits[l->count] = told(j, i, log_total);
        l->logprobs[l->count++] = (c->logit[i] - c->logit[0]) - log_total;
    }
    j->out->counts[j->r] = c->n;
    return FL_OK;
}

/* Whether a step can make a logit larger: no cut and no ban does. */
static int raises(const fl_step_values *v) {
    switch (v->op) {
    case FL_OP_repetition_penalty:
    case FL_OP_frequency_penalty:
    case FL_OP_presence_penalty:
    case FL_OP_logit_bias:
    case FL_OP_sequence_bias:
    case FL_OP_encoder_repetition_penalty:
    case FL_OP_exponential_decay_length_penalty:
    case FL_OP_temperature:
    case FL_OP_dynamic_temperature: return 1;
    default: return 0;
    }
}

/* +inf in the type of the result is the work of the last step that scaled or added. */
int fl_fits(fl_job *j, const fl_rows *out, double top) {
    /* What rounds to the largest value of each type lies below this. */
    static const double limit[] = {0x1.ffffffp127, 65520.0, 0x1.ffp127, (double)INFINITY};
    int32_t step = j->parts_n ? 0 : -1;
    for (int32_t i = 0; i < j->program.count; i++)
        if (raises(&j->program.at[i])) step = j->program.at[i].index;
    return top < limit[out->dtype] ? FL_OK : fl_fail(j, FL_STEP_INF, step, top);
}

int fl_end_list(fl_job *j) {
    int status = FL_OK;
    if (j->kept) return FL_OK;
    if (!status && (j->out->ids || j->out->top_n)) status = report_tokens(j);
    if (!status && j->out->listing) status = write_listing(j);
    if (!status && j->out->probs) status = write_probs(j);
    if (!status && j->out->logits) status = write_logits(j);
    return status;
}
