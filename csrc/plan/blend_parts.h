/* blend_parts.h: the rows of a combination and their roles. */
#ifndef FL_BLEND_PARTS_H
#define FL_BLEND_PARTS_H

#include "rows/mass.h"
#include "tokens/step_values.h"

/* Row r of x and of the n - 1 rows beside it. FL_OK or FL_NO_MEMORY. */
int fl_parts_open(fl_scratch *s, const fl_rows *x, const fl_rows *const *beside, int64_t r, fl_row *parts, int *n);
/* Which part plays which role in the step v. */
fl_blend fl_parts_blend(const fl_kernels *k, const fl_step_values *v, const fl_row *parts);
/* Whether the step takes log-softmaxes, */
int fl_parts_logs(const fl_step_values *v);
/* which the combination of the log-sum-exps stands for: in two parts, so that a token that is the top of both rows keeps
 * what is left of it. On failure *bad is the number of the part. */
int fl_parts_shift(const fl_kernels *k, fl_scratch *s, const fl_row *parts, fl_blend *b, int *bad);

#endif
