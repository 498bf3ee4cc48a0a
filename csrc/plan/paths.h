/* paths.h: the ways from a row to its result. plan.c chooses among them. */
#ifndef FL_PATHS_H
#define FL_PATHS_H

#include "plan/job.h"

/* In the order in which they are asked. Each but the last may return FL_AGAIN. */
enum {
    FL_PATH_DISTRIBUTION,
    FL_PATH_GUMBEL,
    FL_PATH_MASS,
    FL_PATH_NUCLEUS,
    FL_PATH_SMOOTHING,
    FL_PATH_CUT,
    FL_PATH_FLOOR
};

enum { FL_MANY_GROUPS = 1024 }; /* that reach the floor: beyond them a cut by value beats a list */

/* In the place of a status: the plan or the row has become simpler, or the path cannot serve the row; choose again. */
enum { FL_AGAIN = -1 };

/* The path will not be asked for this row any more. */
static inline int fl_refuse(fl_job *j, int path) {
    j->refused |= 1u << path;
    return FL_AGAIN;
}

int fl_run_distribution(fl_job *j);
int fl_run_gumbel(fl_job *j);
int fl_run_mass(fl_job *j);
int fl_run_nucleus(fl_job *j);
int fl_run_smoothing(fl_job *j);
int fl_run_cut(fl_job *j);
int fl_run_floor(fl_job *j);

#endif
