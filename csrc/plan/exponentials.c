/* exponentials.c: the exponential pass of a job. A row whose live tokens are all -inf has the edited ones alone. */
#include "plan/exponentials.h"

#include <float.h>

#include "plan/blend.h"
#include "plan/scan.h"

int fl_exponentials(fl_job *j, int keep_e, fl_mass *m) {
    double t = j->program.temperature;
    int again = !keep_e && j->known && j->known->temperature > 0;
    if (again) *m = *j->known;
    int status = again ? fl_mass_again(j->k, j->s, &j->row, j->live, t, m)
                       : fl_mass_run(j->k, j->s, &j->row, j->live, t, -FLT_MAX, keep_e, m);
    j->trace.passes += (int32_t)m->passes;
    if (status) return status == FL_NO_FINITE ? status : fl_fail(j, status, -1, 0);
    j->gmax = m->gmax;
    j->reached.groups = -1;
    fl_set_base(j, m);
    return fl_set_top(j, j->row.blend ? fl_blend_top(j, (float)m->top) : m->top);
}
