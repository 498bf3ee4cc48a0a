/* The kernels for NEON. */
#if defined(__aarch64__)
#include "kernels/kernels.h"
#include "vec/vec_neon.h"
#define FL_ISA neon
#include "kernels/table_tpl.h"
#else
typedef int fl_no_neon; /* a translation unit holds at least one declaration */
#endif
