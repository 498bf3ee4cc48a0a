/* plan.h: the path of a row. */
#ifndef FL_PLAN_H
#define FL_PLAN_H

#include "plan/job.h"

/* The program on the opened row: FL_OK or a failure, which j->where tells. */
int fl_run_all(fl_job *j);

#endif
