/* exponentials.h: the exponential pass of a job. */
#ifndef FL_EXPONENTIALS_H
#define FL_EXPONENTIALS_H

#include "plan/job.h"

/* Masses of all live tokens at the temperature of the head, with the maxima and the top. FL_NO_FINITE where no live token
 * is finite (the edited ones may be), FL_OK, or a failure. */
int fl_exponentials(fl_job *j, int keep_e, fl_mass *m);

#endif
