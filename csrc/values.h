/* values.h: what the interface and the kernels have in common. */
#ifndef FL_VALUES_H
#define FL_VALUES_H

#include <stdint.h>

typedef enum { FL_F32 = 0, FL_F16 = 1, FL_BF16 = 2, FL_F64 = 3 } fl_dtype;

typedef struct fl_kernels fl_kernels; /* one table of dense passes per instruction set */

enum { FL_TEMPERATURES = 8, FL_MIDDLE = 3 }; /* temperatures of one read, and the one of the mean */
enum { FL_KL, FL_REVERSE_KL, FL_JS, FL_TOTAL_VARIATION, FL_CROSS_ENTROPY, FL_MEASURES }; /* of two rows */

#endif
