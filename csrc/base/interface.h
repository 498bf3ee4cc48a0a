/* interface.h: the part of the interface that knows no plans: status, instruction sets, rows, scratch, random numbers, exact sums. */
#ifndef FL_INTERFACE_H
#define FL_INTERFACE_H

#include <stddef.h>
#include "base/values.h"

/* What can be wrong with the contents of a row. Shapes, types and ranges are the binding's business. */
typedef enum {
    FL_OK = 0,
    FL_NAN = 1,        /* the row holds a NaN */
    FL_POS_INF = 2,    /* the row holds a +inf */
    FL_NO_FINITE = 3,  /* the row holds no finite logit */
    FL_STEP_INF = 4,   /* a step made a +inf (or a NaN); where.step says which */
    FL_ALL_BANNED = 5, /* edits and masks removed every token; where.step is the last edit, where.banned all that ban */
    FL_BAD_TOKEN = 6,  /* a token id of the context lies outside the row; where.value is the id */
    FL_NO_MEMORY = 7,
    FL_CHANGED = 10 /* what was read twice did not agree: another thread writes to it */
} fl_status;

typedef struct {
    int32_t status; /* fl_status */
    int32_t step;   /* index into the plan's steps, -1 if none */
    int64_t row;
    double value; /* of FL_NAN, FL_POS_INF and FL_NO_FINITE: 0 for the logits, else 1 + number of the row beside them */
    uint64_t banned; /* bit i: step i of the plan bans tokens of the row */
} fl_where;

/* ---- instruction sets ------------------------------------------------------------------------ */

int fl_isa_count(void); /* known names, best first: avx512, avx2, neon, scalar */
const char *fl_isa_name(int i);
int fl_isa_compiled(int i);              /* 1 if this build holds its kernels */
int fl_isa_supported(int i);             /* 1 if CPU and operating system offer it */
const fl_kernels *fl_isa_kernels(int i); /* NULL unless compiled and supported */

/* ---- floating-point environment ---------------------------------------------------------------- */

/* Nearest-even rounding and full subnormals, whatever the caller has set; every entry below does this by itself. */
uint64_t fl_env_enter(void);
void fl_env_leave(uint64_t saved); /* back to what fl_env_enter returned */

/* ---- rows and scratch ------------------------------------------------------------------------- */

/* `rows` rows of n values: the last axis has `stride` bytes between values, the outer axes have any shape and
 * strides (row r is found by C-order counting over shape). Values may be misaligned. */
typedef struct {
    char *base;
    const ptrdiff_t *shape;   /* outer shape, ndim entries */
    const ptrdiff_t *strides; /* outer strides in bytes */
    int64_t rows, n;
    ptrdiff_t stride;
    int32_t ndim;
    int32_t dtype; /* fl_dtype */
} fl_rows;

typedef struct fl_scratch fl_scratch; /* grows on demand, kept between calls, one per running thread */
fl_scratch *fl_scratch_new(void);     /* NULL when there is no memory */
void fl_scratch_free(fl_scratch *s);
/* Calls with this scratch end soon after *stop is no longer 0, as if there were no memory; NULL: they do not. */
void fl_scratch_stop(fl_scratch *s, const volatile int32_t *stop);

/* One number for all rows (step 0) or one per row (step 1). */
typedef struct {
    const double *at;
    ptrdiff_t step;
} fl_per_row;

typedef struct {
    const int64_t *at;
    ptrdiff_t step;
} fl_per_row_i;

/* ---- exact sums --------------------------------------------------------------------------------- */

enum { FL_EXACT_LIMBS = 68 };

/* Adds n doubles to an integer of 32-bit limbs, lowest first, the last one signed, in units of 2^-1074. Returns the sum
 * of the infinities and NaNs among them, which the limbs leave out; 0 if there are none. */
double fl_exact_add(const double *v, int64_t n, int64_t *limbs);

/* ---- random numbers ----------------------------------------------------------------------------- */

/* Four words of Philox4x64-10 with key (seed, key). */
void fl_philox(uint64_t seed, uint64_t key, const uint64_t *counter, uint64_t *words);
/* u in [0, 1): the top 53 bits of the first word at counter (position, stream, number, 0). Stream 0 draws the token, the
 * number-th of a row; the random steps of a plan have streams 1, 2 and so on. */
double fl_uniform(uint64_t seed, uint64_t key, uint64_t position, uint64_t stream, uint64_t number);

#endif
