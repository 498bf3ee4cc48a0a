/* scan.h: one scan of the row for its maxima. */
#ifndef FL_SCAN_H
#define FL_SCAN_H

#include "plan/job.h"

int fl_scan_row(fl_job *j);
/* The same, and what row_spread tells of the values around centre, unless NULL. */
int fl_scan_spread(fl_job *j, float centre, double *spread);
/* The largest logit behind the head, from the largest live value; fails where there is none or it overflows. */
int fl_set_top(fl_job *j, double live_top);
/* Masses count from the shift as the plan's temperatures, one after the other, make it. */
void fl_set_base(fl_job *j, fl_mass *m);

#endif
