/* nucleus.h: where the nucleus of a full row ends. */
#ifndef FL_NUCLEUS_H
#define FL_NUCLEUS_H

#include "plan/survivors.h"

enum { FL_FLOOR_SURE = 1, FL_FLOOR_GUESSED = 2 };
/* A floor that the nucleus of mass `target` (in units of the top's mass) stays above, surely or as a guess that the list
 * must confirm by its mass; 0 if none is worth a list. */
int fl_nucleus_floor(fl_job *j, const fl_mass *m, double target, float *floor);
/* The next guess, lower. 0 if it is not worth a list. */
int fl_nucleus_lower(fl_job *j, const fl_mass *m, float *floor);
/* The nucleus as a cut of the dense row. FL_OK, FL_NO_MEMORY, or -1: not found, list everything. */
int fl_nucleus_cut(fl_job *j, double target, fl_dense *d);

#endif
