/* output_dense.h: results from survivors that were never listed. */
#ifndef FL_OUTPUT_DENSE_H
#define FL_OUTPUT_DENSE_H

#include "plan/survivors.h"

/* Whether the end can work without a list. Cuts of double rows always list. */
int fl_ends_dense(const fl_job *j);
/* Draws what is asked for into j->drawn. FL_OK or a failure. */
int fl_draw_dense(fl_job *j, const fl_dense *d);
int fl_end_dense(fl_job *j, fl_dense *d);

#endif
