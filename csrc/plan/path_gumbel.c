/* path_gumbel.c: Gumbel-max over all tokens, from one scan. */
#include <float.h>
#include <math.h>
#include "plan/output_dense.h"
#include "plan/paths.h"
#include "plan/scan.h"

int fl_run_gumbel(fl_job *j) {
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX};
    int status = fl_scan_row(j);
    return status ? status : fl_end_dense(j, &d);
}
