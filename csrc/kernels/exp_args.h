/* exp_args.h: the numbers by which the exponentials of a temperature reduce what they are given. */
#ifndef FL_EXP_ARGS_H
#define FL_EXP_ARGS_H

#include "kernels/kernels.h"

/* The largest integer <= x log2(e) / T. */
int64_t fl_exponent_of(double x, double t);
/* exp(x / T) 2^-exponent, for the float passes: |x| / T < 1e5 and 1e-12 <= T <= 1e12. */
fl_exp_args fl_exp_args_of(double t, int64_t exponent);
/* exp((x - shift) / T) 2^-exponent, for f64_sumexp. */
fl_exp64_args fl_exp64_args_of(double t, double shift, int64_t exponent);

#endif
