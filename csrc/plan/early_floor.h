/* early_floor.h: the floor that cuts allow before any mass is known. */
#ifndef FL_EARLY_FLOOR_H
#define FL_EARLY_FLOOR_H

#include "plan/job.h"

/* The highest floor that the rank and ratio cuts from step `from` on allow, and how many values equal to it can matter.
 * Stops at edits and at mass steps. */
float fl_early_floor(fl_job *j, int32_t from, int64_t *equals);

#endif
