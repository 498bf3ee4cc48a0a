/* math.h: exp, log and log1p in double; the constants and tables that the kernels share with them. */
#ifndef FL_MATH_H
#define FL_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>

/* log2(e), and ln 2 in the splits in use: nearest and rest, a short first part, two short parts. */
#define FL_LOG2E 0x1.71547652b82fep+0
#define FL_LN2 0x1.62e42fefa39efp-1
#define FL_LN2_REST 0x1.abc9e3b39803fp-56
#define FL_LN2_HI 0x1.62e42fefa0000p-1 /* N FL_LN2_HI is exact for |N| < 2^16 */
#define FL_LN2_LO 0x1.cf79abc9e3b3ap-40
#define FL_LN2_FIRST 0x1.62e42fe000000p-1 /* n times either of these two is exact for |n| < 2^22 */
#define FL_LN2_SECOND 0x1.f473de0000000p-30

extern const uint32_t fl_exp2_bits[16]; /* 2^(j/16) = (1 + rest) float(bits + j 2^19) */
extern const float fl_exp2_rest[16];
extern const double fl_exp2_hi64[16], fl_exp2_lo64[16]; /* 2^(j/16) as double plus the rest */

double fl_exp(double x);
double fl_log(double x);
double fl_log1p(double x);
/* Sum of n values >= 0 without the loss of rounding, as total + low. */
double fl_sum(const double *v, int64_t n, double *low);

#endif
