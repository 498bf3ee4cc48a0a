/* path_floor.c: few candidates, known from one scan: ranks and ratios before any mass. Where no cut allows a floor, and where
 * no other path can serve the row, everything is listed. */
#include <float.h>

#include "plan/blend.h"
#include "plan/collect.h"
#include "plan/early_floor.h"
#include "plan/paths.h"
#include "plan/run_list.h"
#include "plan/scan.h"

int fl_run_floor(fl_job *j) {
    int64_t equals = INT64_MAX, groups = fl_groups(j->row.n);
    int status = j->gmax ? FL_OK : fl_scan_row(j);
    if (status) return status;
    /* A first step by mass comes here where no live token is finite: it needs all the edited ones. */
    int all = fl_starts_with_mass(&j->program);
    float floor = all ? -FLT_MAX : fl_early_floor(j, j->program.head, &equals);
    if (j->row.blend && fl_groups_reach(j->k, j->gmax, groups, floor, &j->reached) > groups / 8 + 64) {
        status = fl_blend_settle(j);
        j->gmax = NULL;
        return status ? status : FL_AGAIN;
    }
    j->trace.mode = j->refused & 1u << FL_PATH_DISTRIBUTION ? 2 : 1;
    status = fl_collect(j, floor, equals);
    return status ? status : fl_run_list(j);
}
