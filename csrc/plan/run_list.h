/* run_list.h: the steps one by one on the list, and the end. */
#ifndef FL_RUN_LIST_H
#define FL_RUN_LIST_H

#include "plan/job.h"

int fl_run_list(fl_job *j);
/* The steps from `from` on. */
int fl_run_rest(fl_job *j, int32_t from);

#endif
