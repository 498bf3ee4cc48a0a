/* floor.h: thresholds that miss nothing. */
#ifndef FL_FLOOR_H
#define FL_FLOOR_H

#include "rows/row.h"

/* A value that at least `rank` of the n values v reach, as large as cheaply found; -FLT_MAX if fewer are finite. */
float fl_floor_of(const fl_kernels *k, const float *v, int64_t n, int64_t rank);
/* How many groups of a row reach a floor, as last counted; groups < 0: not yet. */
typedef struct {
    float floor;
    int64_t groups;
} fl_reached;
int64_t fl_groups_reach(const fl_kernels *k, const float *gmax, int64_t groups, float floor, fl_reached *known);
/* The same for the live values of a row, by its maxima per group and super-group. Buffer FL_BUF_GROUPS is used. */
float fl_row_floor(const fl_kernels *k, fl_scratch *s, const fl_row *row, const uint16_t *live, const float *gmax,
                   const float *smax, int64_t rank, fl_reached *known);

/* Drops collected values that cannot be among the best `rank` by (value descending, id ascending). Returns how many are
 * left, in place and still by id. Both arrays have room for 16 more. */
int64_t fl_trim(const fl_kernels *k, int64_t rank, int64_t n, int32_t *ids, float *values);

#endif
