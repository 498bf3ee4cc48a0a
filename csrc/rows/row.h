/* row.h: one row, whatever its type and strides. */
#ifndef FL_ROW_H
#define FL_ROW_H

#include "base/scratch.h"
#include "kernels/kernels.h"

char *fl_row_address(const fl_rows *x, int64_t row);

/* A row as the dense passes see it. Float rows: x of type dtype < 3. Double rows: wide holds the values, x is their
 * float image (dtype FL_F32), and every collected candidate takes its value from wide. A combination of rows that is not
 * written down: x is NULL, what blend_scan sees lies at most `slack` from the values, beside the roundings of an image. Or x
 * holds its nearest floats. Values are combined in double. */
typedef struct {
    const void *x;
    const double *wide;
    const fl_blend *blend;
    int32_t parts; /* type of the rows that it combines */
    double slack;
    int64_t n;
    int32_t dtype;
    uint32_t bad; /* from the image: NaN or +inf seen */
} fl_row;

/* Floats 12 bytes apart stay where they are (FL_THIRDS), which selecting passes read in place. Returns 0, or -1 without
 * memory. */
int fl_row_view(fl_scratch *s, const fl_kernels *k, const fl_rows *x, int64_t row, fl_row *out);
/* Puts such a row's values side by side. */
int fl_row_pack(fl_scratch *s, const fl_kernels *k, fl_row *row);
/* Values side by side and in native layout. Returns 0, or -1 without memory. */
int fl_row_open(fl_scratch *s, const fl_kernels *k, const fl_rows *x, int64_t row, fl_row *out);
/* Without an image of doubles; strided values go to that buffer. */
int fl_row_part(fl_scratch *s, const fl_rows *x, int64_t row, int buffer, fl_row *out);
/* The row becomes that of these doubles. */
int fl_row_image(fl_scratch *s, const fl_kernels *k, fl_row *row, const double *wide);
/* The same row through the double passes. */
int fl_row_widen(fl_scratch *s, const fl_kernels *k, fl_row *row);
/* NaN becomes 0, +inf and -inf the largest and the lowest value of the row's type, in a copy. One pass tells whether there
 * is NaN or -inf; a row that is known to hold +inf needs none. 0, or -1 without memory. */
int fl_row_repair(fl_scratch *s, const fl_kernels *k, fl_row *row, int known);
double fl_row_value(const fl_row *row, int64_t id);
int64_t fl_value_size(int32_t dtype);
void fl_store_values(const double *v, int64_t n, char *out, ptrdiff_t stride, int32_t dtype);
void fl_store_at(const fl_rows *out, int64_t row, int64_t id, double v);

/* A value of the combination row->blend. */
double fl_blend_value(const fl_row *row, int64_t id);
/* base + scale (plus - minus), in the order of a NumPy user's formula. */
double fl_blend_of_values(const fl_blend *b, double base, double plus, double minus);

/* Whether a token takes part in the dense passes; live is NULL if all do. */
static inline int fl_is_live(const uint16_t *live, int64_t id) {
    return !live || (live[id / FL_LANES] >> (id % FL_LANES) & 1);
}

#endif
