/* path_cut.c: ratio cuts alone, with far more survivors than a list is good for: a cut by value. */
#include <float.h>
#include <math.h>

#include "base/math.h"
#include "plan/blend.h"
#include "plan/collect.h"
#include "plan/early_floor.h"
#include "plan/gumbel.h"
#include "plan/output_dense.h"
#include "plan/paths.h"
#include "plan/scan.h"

/* FL_AGAIN where an edited token is so far above the row that masses leave the range: list instead. */
static int cut_by_value(fl_job *j) {
    fl_dense d = {.cut_id = INT64_MAX, .cut_logit = -(double)INFINITY};
    for (int32_t i = j->program.head; i < j->program.count; i++) {
        const fl_step_values *v = &j->program.at[i];
        double floor = v->resolved ? v->floor : j->top + fl_log(v->value);
        d.cut_logit = floor > d.cut_logit ? floor : d.cut_logit;
    }
    d.low = d.high = fl_exact_value(j, d.cut_logit, 0);
    j->trace.mode = 3;
    if (fl_gumbel_alone(j)) return fl_end_dense(j, &d);
    if (fl_dense_uniform(j, &d)) return fl_end_dense(j, &d);
    int status, again = j->known && !j->out->probs && d.high == -FLT_MAX;
    if (again) d.mass = *j->known;
    status = again ? fl_mass_again(j->k, j->s, &j->row, j->live, j->program.temperature, &d.mass)
                   : fl_mass_run(j->k, j->s, &j->row, j->live, j->program.temperature, d.high, j->out->probs != NULL,
                                 &d.mass);
    j->trace.passes += (int32_t)d.mass.passes;
    if (status) return fl_fail(j, status, -1, 0);
    fl_set_base(j, &d.mass);
    if (fl_edited_masses(j) || fl_dense_sums(j, &d)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return d.total > 0 && d.total < DBL_MAX ? fl_end_dense(j, &d) : fl_refuse(j, FL_PATH_CUT);
}

int fl_run_cut(fl_job *j) {
    int64_t equals = INT64_MAX;
    int status = j->gmax ? FL_OK : fl_scan_row(j);
    if (status) return status;
    float floor = fl_early_floor(j, j->program.head, &equals);
    if (fl_groups_reach(j->k, j->gmax, fl_groups(j->row.n), floor, &j->reached) <= FL_MANY_GROUPS)
        return fl_refuse(j, FL_PATH_CUT);
    if (!j->row.blend) return cut_by_value(j);
    status = fl_blend_settle(j);
    j->gmax = NULL;
    return status ? status : FL_AGAIN;
}
