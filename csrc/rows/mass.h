/* mass.h: exponentials of a whole row. */
#ifndef FL_MASS_H
#define FL_MASS_H

#include "kernels/exp_args.h"
#include "rows/row.h"

/* Group sums and what follows from them. Masses are exp(x / T) 2^-exponent; top is the value of the first maximum of
 * the live tokens, its id at; rest the mass of all live tokens but that one, in units of the top's mass. */
typedef struct {
    double temperature, top, rest;
    double base;         /* shift behind the plan's temperatures: what logits are counted from */
    double unit, others; /* masses of the top and of all the rest, in the unit of the group sums */
    double others_low;   /* what rounding others lost (double rows) */
    int64_t at, exponent, passes;
    float cut;          /* values below it have mass 0 */
    float *gmax, *gsum; /* gsum includes the top token */
    double *gsum64;     /* of double rows, else NULL */
    float *e;           /* exponentials, if they were asked for */
    double *e64;
    fl_moments_args moments; /* of float rows, if they were asked for; first alone for the mean */
    double sharp;            /* of the groups that first leaves out */
    int full;                /* every value is known to be finite */
    fl_exp_args args;
    fl_exp64_args args64;
} fl_mass;

enum { FL_KEEP_E = 1, FL_KEEP_MOMENTS = 2, FL_KEEP_MEAN = 4 }; /* what fl_mass_run keeps beside the group sums */

/* Returns an fl_status: FL_NAN, FL_POS_INF, FL_NO_FINITE (no live finite value), FL_CHANGED, FL_NO_MEMORY. After FL_OK `at`
 * is a token of the row and all masses are finite. May widen the row.
 * cut: -FLT_MAX for all values. */
int fl_mass_run(const fl_kernels *k, fl_scratch *s, fl_row *row, const uint16_t *live, double temperature, float cut,
                int keep, fl_mass *out);
/* The same row once more, at another temperature, after a run with FL_KEEP_MEAN: group sums alone, single masses exact to
 * 2 ulp. */
int fl_mass_again(const fl_kernels *k, fl_scratch *s, fl_row *row, const uint16_t *live, double temperature,
                  fl_mass *m);
/* rest and what it is made of, from the group sums: `own` is the top's group, values (room for 16) its other values. */
void fl_mass_rest_of_floats(const fl_kernels *k, fl_mass *m, int64_t groups, int64_t own, const double *values,
                            int64_t count);
void fl_mass_rest_of_doubles(const fl_kernels *k, fl_mass *m, int64_t groups, int64_t own, double *values,
                             int64_t count);
/* exponent, base and args64 of the double passes, from temperature, top and cut. */
void fl_mass_in_doubles(fl_mass *m);
/* Largest double among the live values whose float image is `image`, the largest of gmax. */
double fl_wide_top(const fl_row *row, const uint16_t *live, const float *gmax, float image);
/* The mass of all live tokens, in the unit of the group sums. */
double fl_mass_total(const fl_mass *m);
/* ln sum exp(x / T) of the live tokens. */
double fl_mass_lse(const fl_mass *m);
/* pair: mean and variance of -log p under p = softmax(x / T). The row was run with FL_KEEP_MOMENTS; may read it again. */
void fl_mass_entropies(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m, double *pair);
/* The mean alone; the row was run with FL_KEEP_MEAN, whose single masses are exact to 2 ulp. */
double fl_mass_entropy(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m);
/* Mass of an edited token, whose logit is final, in the unit of the group sums. */
double fl_mass_of_logit(const fl_mass *m, double logit);
/* FL_NAN, FL_POS_INF or FL_OK, from the values one by one. */
int fl_row_fault(const fl_row *row);
/* Id of the first live value equal to top, -1 if there is none. */
int64_t fl_first_equal(const fl_kernels *k, const fl_row *row, const uint16_t *live, const float *gmax, double top);
/* The row value whose mass is t, in the unit of the group sums, and how far rounding can have moved it. */
double fl_mass_value(const fl_mass *m, double t, double *margin);

#endif
