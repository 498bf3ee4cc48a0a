/* path_nucleus.c: a first cut by mass. The exponential pass tells the total; the nucleus is listed where it is small, else
 * cut out of the dense row where nothing else follows, else everything is listed that a later cut allows. */
#include <float.h>
#include <math.h>

#include "base/math.h"
#include "plan/blend.h"
#include "plan/collect.h"
#include "plan/early_floor.h"
#include "plan/exponentials.h"
#include "plan/nucleus.h"
#include "plan/output_dense.h"
#include "plan/paths.h"
#include "plan/run_list.h"

enum { MOST_GUESSES = 32 };

/* Lists a nucleus small enough for it, min_keep tokens at least: 1 if listed, 0 if not, else -1 after a failure. */
static int list_nucleus(fl_job *j, const fl_mass *m, const fl_step_values *v, double target) {
    float floor, kept = v->min_keep > 1 ? fl_job_floor(j, v->min_keep) : FLT_MAX;
    int found = fl_nucleus_floor(j, m, target, &floor);
    for (int guess = 0; found && guess < MOST_GUESSES; guess++) {
        if (fl_collect(j, kept < floor ? kept : floor, INT64_MAX)) return -1;
        if (found == FL_FLOOR_SURE || (j->list.n && fl_cands_total(&j->list) >= target)) return 1;
        found = fl_nucleus_lower(j, m, &floor) ? FL_FLOOR_GUESSED : 0;
    }
    return 0;
}

/* The cuts behind the exponential pass d->mass; total in units of exp(top). alone: one top-p step, and the end needs no
 * list. */
static int run_mass_cuts(fl_job *j, fl_dense *d, double total, int alone) {
    const fl_program *p = &j->program;
    const fl_step_values *first = &p->at[p->head];
    int64_t equals = INT64_MAX;
    float early = fl_early_floor(j, first->op == FL_OP_top_p ? p->head + 1 : p->head, &equals);
    int listed = 0, status;
    if (first->op == FL_OP_top_p && early == -FLT_MAX && first->min_keep <= 256) {
        listed = list_nucleus(j, &d->mass, first, fl_target(first, total));
        if (listed < 0) return j->where.status;
        if (!listed && alone && first->min_keep == 1 && d->mass.e) {
            status = fl_nucleus_cut(j, fl_target(first, total), d);
            if (status == FL_OK) j->trace.mode = 3;
            if (status != -1) return status ? fl_fail(j, status, -1, 0) : fl_end_dense(j, d);
        }
    }
    if (!listed && j->row.blend && early == -FLT_MAX) {
        status = fl_blend_settle(j);
        j->opened = 0;
        return status ? status : FL_AGAIN;
    }
    if (!listed) {
        status = fl_collect(j, early, equals);
        if (status) return status;
    }
    j->list.total = total;
    return fl_run_list(j);
}

int fl_run_nucleus(fl_job *j) {
    const fl_program *p = &j->program;
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX, .low = -FLT_MAX, .high = -FLT_MAX};
    int alone = p->count == p->head + 1 && !fl_has_joint(p) && fl_ends_dense(j);
    int status = fl_exponentials(j, alone && !j->row.wide, &d.mass);
    j->trace.mode = 2;
    if (status == FL_NO_FINITE) return fl_refuse(j, FL_PATH_NUCLEUS);
    if (status) return status;
    if (fl_edited_masses(j)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    double total = fl_exp(fl_head_value(p, d.mass.top) - j->top) * (1.0 + d.mass.rest) + j->edited_total;
    return run_mass_cuts(j, &d, total, alone);
}
