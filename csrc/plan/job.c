/* job.c: one row on its way: how it begins, fails and draws its random numbers. */
#include "plan/job.h"
#include <float.h>
#include <string.h>

static int bans(const fl_step_values *v) {
    int banned = v->words != NULL;
    for (int64_t i = 0; !banned && v->values && i < v->entries; i++) banned = v->values[i] < -DBL_MAX;
    return banned && v->kind == FL_EDIT;
}

int fl_fail(fl_job *j, int status, int32_t step, double value) {
    j->where = (fl_where){.status = status, .step = step, .row = j->r, .value = value};
    for (int32_t i = 0; status == FL_ALL_BANNED && i < j->program.count && j->program.at[i].index <= step; i++)
        j->where.banned |= (uint64_t)bans(&j->program.at[i]) << j->program.at[i].index;
    return status;
}

double fl_uniform_of(const fl_job *j, uint64_t stream, int64_t number) {
    return fl_uniform(j->in->seed, (uint64_t)j->key, (uint64_t)j->position, stream, (uint64_t)number);
}

/* u, or u^exp(-skew), below 1. */
double fl_draw_u(const fl_job *j, int64_t number) {
    double u = fl_uniform_of(j, 0, number);
    if (j->program.skew == 0 || u == 0) return u;
    double skewed = fl_exp(fl_exp(-j->program.skew) * fl_log(u));
    return skewed < 1 ? skewed : 1 - 0x1p-53;
}

void fl_job_reset(fl_job *j) {
    memset(&j->trace, 0, sizeof j->trace);
    j->edits.n = 0;
    j->live = NULL;
    j->known = NULL;
    j->banned = j->is_dense = j->opened = 0;
    j->refused = 0;
    j->gmax = j->smax = NULL;
}

void fl_job_begin(fl_job *j, const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_inputs *in,
                  const fl_results *out, int64_t r) {
    memset(&j->edits, 0, sizeof j->edits);
    j->k = j->edits.k = k;
    j->s = s;
    j->in = in;
    j->out = out;
    j->r = r;
    j->gumbel = plan->gumbel || out->perturbed || out->distinct;
    fl_job_reset(j);
    j->parts_n = 0;
    j->kept = NULL;
    j->observed = in->sequences ? in->sequences[r].observed : out->observed ? out->observed + r * plan->count : NULL;
    for (int32_t i = 0; j->observed && i < plan->count; i++) j->observed[i] = (double)NAN;
}
