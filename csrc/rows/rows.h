/* rows.h: what the C files share among themselves. */
#ifndef FL_INTERNAL_H
#define FL_INTERNAL_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fastlogits.h"
#include "kernels/kernels.h"

/* ---- math.c ----------------------------------------------------------------------------------- */
double fl_exp(double x);
double fl_log(double x);
double fl_log1p(double x);
/* Sum of n values >= 0 without the loss of rounding, as total + low. */
double fl_sum(const double *v, int64_t n, double *low);

/* ---- scratch.c -------------------------------------------------------------------------------- */

enum {                /* what each buffer of the scratch holds */
       FL_BUF_PACKED, /* a strided row, values side by side */
       FL_BUF_SECOND, /* the same of rows beside it */
       FL_BUF_THIRD,
       FL_BUF_WIDE,     /* the row as double */
       FL_BUF_IMAGE,    /* the float image of a double row */
       FL_BUF_GMAX,     /* group maxima */
       FL_BUF_SMAX,     /* super-group maxima */
       FL_BUF_GSUM,     /* group sums of exponentials */
       FL_BUF_MOMENT,   /* group sums of their moments */
       FL_BUF_GROUPS,   /* other values per group */
       FL_BUF_E,        /* exponentials of a row */
       FL_BUF_LIVE,     /* one bit per token: takes part in the dense passes */
       FL_BUF_EDITS,    /* edited tokens */
       FL_BUF_TABLE,    /* hash table over their ids */
       FL_BUF_SLOTS,    /* edited token of every context position */
       FL_BUF_CANDS,    /* the candidate list */
       FL_BUF_SORT,     /* room to sort it */
       FL_BUF_JOINT,    /* masses remembered at the first joint cut */
       FL_BUF_SHARES,   /* probabilities that a step hears of later */
       FL_BUF_EDITED,   /* logits and masses of the edited tokens */
       FL_BUF_SUMS,     /* masses by block */
       FL_BUF_EXTRA,    /* logits of survivors told apart from the dense ones */
       FL_BUF_BAND,     /* one bit per token: those that a band keeps */
       FL_BUF_BANNED,   /* tokens that a step removed before anything was listed */
       FL_BUF_REPAIRED, /* a row without NaN and infinities */
       FL_BUF_RESOLVED, /* what steps that read the context come to */
       FL_BUF_ROW,      /* a result row on its way to another type or stride */
       FL_BUF_DRAWN,    /* drawn tokens */
       FL_BUF_NOISE,    /* bounds of blocks in Gumbel-max */
       FL_BUF_PATH,     /* a context of the row's own, with accepted tokens */
       FL_BUF_BY_ID,    /* probabilities of the list by id */
       FL_BUF_RESIDUAL, /* what is left of a target distribution */
       FL_BUFFERS
};

struct fl_scratch {
    void *raw[FL_BUFFERS];
    void *room[FL_BUFFERS]; /* raw rounded up to a cache line */
    size_t bytes[FL_BUFFERS];
};

/* Buffer `which` with at least `bytes` bytes (contents not kept when it grows), or NULL. */
void *fl_buffer(fl_scratch *s, int which, size_t bytes);

/* An index from an array that other threads may write: read once, so that what is checked is what is used. */
static inline int64_t fl_peek(const int64_t *at) { return *(const volatile int64_t *)at; }

/* ---- row.c: one row, whatever its type and strides ---------------------------------------------- */

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

/* ---- blend.c: two or three rows seen as one -------------------------------------------------------- */

/* A value of the combination row->blend. */
double fl_blend_value(const fl_row *row, int64_t id);

/* ---- mass.c: exponentials of a whole row ------------------------------------------------------- */

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
/* The largest integer <= x log2(e) / T. */
int64_t fl_exponent_of(double x, double t);
/* exp(x / T) 2^-exponent, for the float passes: |x| / T < 1e5 and 1e-12 <= T <= 1e12. */
fl_exp_args fl_exp_args_of(double t, int64_t exponent);
/* exp((x - shift) / T) 2^-exponent, for f64_sumexp. */
fl_exp64_args fl_exp64_args_of(double t, double shift, int64_t exponent);
/* Mass of an edited token, whose logit is final, in the unit of the group sums. */
double fl_mass_of_logit(const fl_mass *m, double logit);
/* FL_NAN, FL_POS_INF or FL_OK, from the values one by one. */
int fl_row_fault(const fl_row *row);
/* Id of the first live value equal to top, -1 if there is none. */
int64_t fl_first_equal(const fl_kernels *k, const fl_row *row, const uint16_t *live, const float *gmax, double top);

/* ---- arrays.c: writing result rows --------------------------------------------------------------- */

/* v as nearest float and rest. */
void fl_split(double v, float *pair);
void fl_store_floats(const float *v, int64_t n, char *to, ptrdiff_t stride, int32_t dtype);
/* p = e / (total + low) into a row, low being what rounding total lost; the kept exponentials are used up. */
void fl_write_softmax(const fl_kernels *k, const fl_mass *m, double total, double low, const fl_rows *out, int64_t row);

/* ---- shards.c: rows of which only a part of the tokens is here ------------------------------------ */

/* The group sums of row r in the unit of the whole row. Returns FL_OK or FL_NO_MEMORY. */
int fl_shard_sums(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, const fl_whole *whole, double t);

/* ---- sort.c ----------------------------------------------------------------------------------- */

/* order: indices of v by (value descending, index ascending); some indices below n in any order, perhaps more than once, if
 * there is a NaN. Returns 0, or -1 without memory. */
int fl_sort_descending(const fl_kernels *k, fl_scratch *s, const double *v, int64_t n, int32_t *order);

/* ---- floor.c: thresholds that miss nothing ------------------------------------------------------ */

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

/* ---- select.c: the best values of a row ----------------------------------------------------------- */

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
