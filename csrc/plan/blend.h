/* blend.h: the first step of a plan, if it combines rows. */
#ifndef FL_BLEND_H
#define FL_BLEND_H

#include "plan/job.h"

/* Opens the row as that step, `v`, makes it; v->kind is FL_BLEND. FL_OK or a failure. */
int fl_blend_open(fl_job *j, const fl_step_values *v, const fl_plan *plan, const fl_rows *x);
/* Writes the combination down: a row of doubles from then on. FL_OK or a failure. */
int fl_blend_settle(fl_job *j);
/* A shift that brings the top near 0, where floats are dense, if it does not show: the largest of some values. */
void fl_blend_center(fl_job *j);
/* Writes its nearest floats down, for masses. 0 where doubles must serve. */
int fl_blend_image(fl_job *j);
/* One scan of the combination for maxima in float. 0 where floats do not serve. */
int fl_blend_scan(fl_job *j);
/* A threshold in float, lowered so far that nothing is missed that reaches it in double. */
float fl_blend_lowered(const fl_job *j, float floor);
/* Largest value of the live tokens, `image` being the largest of gmax. */
double fl_blend_top(const fl_job *j, float image);
/* Fails for what is wrong with one of the rows, else with the step itself: `status`. */
int fl_blend_fault(fl_job *j, int status);

#endif
