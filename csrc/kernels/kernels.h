/* kernels.h: the kernel table, made from kernels.def. Kernels cannot fail, keep nothing and allocate nothing. */
#ifndef FL_KERNELS_H
#define FL_KERNELS_H

#include <string.h>

#include "base/math.h"
#include "base/values.h"

enum { FL_LANES = 16, FL_BLOCK = 256 };
enum { FL_THIRDS = FL_F64 + 1 }; /* type of a row beside fl_dtype: the logits of 12-byte records, float32 */

/* exp(x / T) 2^-N by x itself: n = round(16 x log2(e) / T), r = x - n (T ln2 / 16), 2^(n / 16) from a table times
 * 1 + r c1 + r^2 c2 + r^3 c3 with ck = 1 / (k! T^k). Results of x < least are exactly 0. */
typedef struct {
    float scale;  /* 16 log2(e) / T */
    float magic;  /* 1.5 2^23 - 16 N: adding it rounds to an integer and subtracts 16 N in the low bits */
    float hi, lo; /* T ln2 / 16 = hi + lo */
    float c1, c2, c3;
    float least;
} fl_exp_args;

/* The same in double for x - shift, rounding error of that difference included, with T ln2 / 16 in three parts and the Taylor series in r / T. */
typedef struct {
    double shift, scale, magic, hi, mid, lo, inverse, least;
} fl_exp64_args;

/* Sums by group of e (x - centre) and e (x - centre)^2, e being the exponentials. */
typedef struct {
    float centre;
    float *first, *second;
} fl_moments_args;

/* unit makes exp(d x) 2^-N; wanted are its powers from `power` on, `count` of them. The moment counts from centre, a
 * value near the maximum. */
typedef struct {
    fl_exp_args unit;
    float centre;
    int32_t power; /* 1 or 4 */
    int32_t count; /* 1 to FL_TEMPERATURES */
} fl_temperatures_args;

/* Two rows a and b: d = (a - b) inverse - shift, and e = exp(a / T) 2^-Np, exp(b / T) 2^-Nq. */
typedef struct {
    fl_exp_args p, q;
    float inverse, shift;
    float scale;  /* exp(shift) 2^(Nq - Np): times the e of b it is that of a times exp(-d) */
    int32_t near; /* b is like a: sums of g(d) */
    int32_t both; /* the sums of the reverse direction as well */
    int32_t guarded;
} fl_divergence_args;

typedef struct {
    double p, q; /* masses of both rows; q only unless near */
    double d,
        reverse; /* sums of e_a (a - b) and e_b (a - b); of e_a g(d) and e_a exp(-d) g(-d) if near, where g(d) = exp(-d) - 1 + d */
    double first;                     /* sum of e_a d if near */
    float top_p, top_q, above, below; /* largest values, largest and least d */
} fl_divergence;

/* Two double rows a and b with p = softmax(a / T), q = softmax(b / T) and d = ln(p / q) = (a - b) / T - shift. Sums come in
 * units of 2^-512. */
typedef struct {
    double top_p, top_q;   /* largest values */
    double tail_p, tail_q; /* ln sum exp((x - top) / T) */
    double inverse;        /* 1 / T */
    double base_p, base_q; /* taken off the logits before their difference is */
    double shift, beta;
    int64_t at; /* id of the largest value of a */
} fl_compare64_args;

enum { FL_PAIR, FL_TRIPLE, FL_BARE };

/* Rows of one type, values side by side (doubles aligned), and their combination
 *   l = base + scale (plus - minus) - top - tail, less base if FL_BARE; -inf where plus is -inf or below `floor`, and where
 *   base is, if FL_TRIPLE. Beside a -inf of minus alone it is `limit`, or, if that is 0, plus (FL_PAIR, whose base is
 *   minus) or base (FL_TRIPLE). */
typedef struct {
    const void *base, *plus, *minus;
    double scale, floor, limit, top, tail;
    float scale32, floor32, shift32; /* shift32: top + tail */
    int32_t mode;
} fl_blend;

/* The next larger float of a finite one. */
static inline float fl_float_after(float a) {
    uint32_t u;
    memcpy(&u, &a, 4);
    u = a == 0 ? 1 : u >> 31 ? u - 1 : u + 1;
    memcpy(&a, &u, 4);
    return a;
}

/* Floats as integers of the same order, and back. */
static inline int64_t fl_ordered(float a) {
    int32_t i;
    memcpy(&i, &a, 4);
    return i < 0 ? -(int64_t)(i & 0x7fffffff) : i;
}
static inline float fl_unordered(int64_t o) {
    int32_t i = (int32_t)(o < 0 ? -o : o);
    float a;
    memcpy(&a, &i, 4);
    return o < 0 ? -a : a;
}

static inline int64_t fl_groups(int64_t n) { return (n + FL_BLOCK - 1) / FL_BLOCK * FL_LANES; }
static inline int64_t fl_supers(int64_t n) { return (n + 16 * FL_BLOCK - 1) / (16 * FL_BLOCK) * FL_LANES; }

struct fl_kernels {
    const char *name;
#define FL_KERNEL(result, name, args) result(*name) args;
#define FL_KERNEL_X(result, name, args) result(*name[3]) args;
#define FL_KERNEL_T(result, name, args) result(*name[FL_THIRDS + 1]) args;
#include "kernels/kernels.def"
#undef FL_KERNEL
#undef FL_KERNEL_X
#undef FL_KERNEL_T
};

#endif
