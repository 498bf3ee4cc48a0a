/* values.h: what the interface and the kernels have in common. */
#ifndef FL_VALUES_H
#define FL_VALUES_H

#include <float.h>
#include <stdint.h>

/* Every file of the extension includes this one. Bits are promised for IEEE arithmetic in the types as written. */
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) ||                         \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "fastlogits must not be compiled with -ffast-math, -Ofast or a part of them: results would no longer be exact"
#endif
#if FLT_EVAL_METHOD != 0
#error "fastlogits needs float and double arithmetic without excess precision (FLT_EVAL_METHOD 0; not -mfpmath=387)"
#endif

typedef enum { FL_F32 = 0, FL_F16 = 1, FL_BF16 = 2, FL_F64 = 3 } fl_dtype;

typedef struct fl_kernels fl_kernels; /* one table of dense passes per instruction set */

enum { FL_TEMPERATURES = 8, FL_MIDDLE = 3 }; /* temperatures of one read, and the one of the mean */
enum { FL_KL, FL_REVERSE_KL, FL_JS, FL_TOTAL_VARIATION, FL_CROSS_ENTROPY, FL_MEASURES }; /* of two rows */

#endif
