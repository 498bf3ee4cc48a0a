/* The kernels for avx2. */
#if defined(__x86_64__) || defined(_M_X64)
#include "kernels/kernels.h"
#include "vec/vec_avx2.h"
#define FL_ISA avx2
#include "kernels/table_tpl.h"
#include "vec/vec_end.h"
#else
typedef int fl_no_avx2; /* a translation unit holds at least one declaration */
#endif
