/* path_mass.c: the exponential pass over the whole row, with no cut behind it. */
#include <float.h>
#include <math.h>

#include "plan/blend.h"
#include "plan/exponentials.h"
#include "plan/output_dense.h"
#include "plan/paths.h"

int fl_run_mass(fl_job *j) {
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX, .low = -FLT_MAX, .high = -FLT_MAX};
    int status = fl_exponentials(j, j->out->probs != NULL, &d.mass);
    j->trace.mode = 0;
    if (status == FL_NO_FINITE) return fl_refuse(j, FL_PATH_MASS);
    if (status) return status;
    if (fl_edited_masses(j) || fl_dense_sums(j, &d)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return d.total > 0 && d.total < DBL_MAX ? fl_end_dense(j, &d) : fl_refuse(j, FL_PATH_MASS);
}
