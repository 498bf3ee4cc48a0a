/* run_rows.h: rows of a call, one after the other. */
#ifndef FL_RUN_ROWS_H
#define FL_RUN_ROWS_H

#include "plan/job.h"

fl_context fl_context_of(const fl_inputs *in, int64_t r);
/* What the steps of a plan remember, of a history that may have been made for more of them; or NULL. */
const double *fl_remembered(const fl_history *h, const fl_plan *plan);
/* Runs row `at` of x and the rows beside it with the parameters of row `of`. The job knows key and position, and a context
 * whose tokens lie in the row. */
int fl_run_row(fl_job *j, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of, const double *memory);

#endif
