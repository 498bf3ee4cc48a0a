/* report.c: what is told of drawn tokens, and what steps hear of them. */
#include "plan/report.h"
#include <float.h>
#include "base/math.h"

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
