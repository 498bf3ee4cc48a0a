/* write.h: result rows of any type and stride. */
#ifndef FL_WRITE_H
#define FL_WRITE_H

#include "rows/mass.h"

/* v as nearest float and rest. */
void fl_split(double v, float *pair);
void fl_store_floats(const float *v, int64_t n, char *to, ptrdiff_t stride, int32_t dtype);
/* p = e / (total + low) into a row, low being what rounding total lost; the kept exponentials are used up. */
void fl_write_softmax(const fl_kernels *k, const fl_mass *m, double total, double low, const fl_rows *out, int64_t row);
/* One value in all places of a row. */
void fl_fill_row(const fl_rows *out, int64_t row, double v);

#endif
