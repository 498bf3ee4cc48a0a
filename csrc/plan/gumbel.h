/* gumbel.h: draws by Gumbel-max, into j->drawn. */
#ifndef FL_GUMBEL_H
#define FL_GUMBEL_H

#include "plan/survivors.h"

/* From the list, or from survivors that were never listed, for which the group maxima alone are needed. FL_OK or a
 * failure. */
int fl_gumbel_list(fl_job *j);
int fl_gumbel_dense(fl_job *j, const fl_dense *d);
/* Whether the group maxima suffice for what is wanted of unlisted survivors. */
int fl_gumbel_alone(const fl_job *j);

#endif
