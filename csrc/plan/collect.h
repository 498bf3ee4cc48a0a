/* collect.h: from a threshold to the sorted list of what reaches it. */
#ifndef FL_COLLECT_H
#define FL_COLLECT_H

#include "plan/job.h"

/* Collects the live values >= floor and the edited tokens that reach it, sorted. FL_OK or a failure. */
int fl_collect(fl_job *j, float floor, int64_t equals);
/* Puts the edited tokens with low <= logit < high among the collected ones, by id. */
int fl_join_edited(fl_job *j, double low, double high);
/* floor.c's floor of a rank for the job's row. */
float fl_job_floor(fl_job *j, int64_t rank);
/* The row value whose head value is logit, rounded down far enough to lose nothing. */
float fl_value_below(const fl_job *j, double logit);
/* The smallest float whose head value reaches logit, or lies above it; FLT_MAX if there is none. */
float fl_exact_value(const fl_job *j, double logit, int above);

#endif
