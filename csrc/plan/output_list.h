/* output_list.h: results from the list of survivors. */
#ifndef FL_OUTPUT_LIST_H
#define FL_OUTPUT_LIST_H

#include "plan/job.h"

/* Draws what is asked for into j->drawn. FL_OK or a failure. */
int fl_draw_list(fl_job *j);
/* Log-prob of a survivor on the list. */
double fl_list_logprob(fl_cands *c, int64_t id);
int fl_end_list(fl_job *j);

#endif
