/* sort.h: order of numbers. */
#ifndef FL_SORT_H
#define FL_SORT_H

#include "base/scratch.h"
#include "kernels/kernels.h"

/* order: indices of v by (value descending, index ascending); some indices below n in any order, perhaps more than once, if
 * there is a NaN. Returns 0, or -1 without memory. */
int fl_sort_descending(const fl_kernels *k, fl_scratch *s, const double *v, int64_t n, int32_t *order);

#endif
