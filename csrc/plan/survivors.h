/* survivors.h: survivors that were never listed: no cut at all, a cut by value, or a large nucleus. */
#ifndef FL_SURVIVORS_H
#define FL_SURVIVORS_H

#include "plan/job.h"

/* edited_mass and edited_total of the job. 0, or -1 without memory. */
int fl_edited_masses(fl_job *j);
/* Masses of the edited tokens as floats in that unit, behind the doubles; NULL without memory. */
float *fl_edited_floats(fl_job *j, double unit, int64_t *count);
/* Whether the cut keeps a token. */
static inline int fl_before_cut(const fl_dense *d, double logit, int64_t id) {
    return logit > d->cut_logit || (logit == d->cut_logit && id <= d->cut_id);
}
/* Sums and totals of d, from its mass. 0, or -1 without memory. */
int fl_dense_sums(fl_job *j, fl_dense *d);
/* All survivors equal to the top: counts instead of exponentials. 1 if so. */
int fl_dense_uniform(fl_job *j, fl_dense *d);
/* Logit of a token behind the head, -inf if it was masked or did not survive. */
double fl_dense_logit(const fl_job *j, const fl_dense *d, int64_t id);
/* The token at share u of the running mass, -1 where the row holds none any longer. */
int64_t fl_dense_draw(const fl_job *j, const fl_dense *d, double u);

#endif
