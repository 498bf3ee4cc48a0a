/* top_k.h: the best values of a row. */
#ifndef FL_TOP_K_H
#define FL_TOP_K_H

#include "rows/floor.h"

/* Some values of a row, ascending by id, in FL_BUF_CANDS. */
typedef struct {
    int32_t *ids;
    double *values;
    float *found; /* the values as they were collected */
    int64_t count;
} fl_best;

/* The values that are at least floor, less what cannot be among the best `top`. Returns FL_OK, FL_CHANGED or FL_NO_MEMORY. */
int fl_collect_best(const fl_kernels *k, fl_scratch *s, const fl_row *row, const float *gmax, float floor,
                    fl_reached *known, int64_t top, fl_best *best);

#endif
