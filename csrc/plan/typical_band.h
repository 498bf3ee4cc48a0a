/* typical_band.h: typical-p where its tokens are too many for a list. */
#ifndef FL_TYPICAL_BAND_H
#define FL_TYPICAL_BAND_H

#include "plan/job.h"

/* Leaves only what typical_p keeps alive. FL_OK, FL_NO_MEMORY, or -1: not found, list everything. */
int fl_typical_band(fl_job *j, const fl_mass *m, const fl_shape *s, const fl_step_values *v);

#endif
