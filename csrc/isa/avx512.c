/* The kernels for avx512. */
#if defined(__x86_64__) || defined(_M_X64)
#include "kernels/kernels.h"
#include "vec/vec_avx512.h"
#define FL_ISA avx512
#include "kernels/table_tpl.h"
#include "vec/vec_end.h"
#else
typedef int fl_no_avx512; /* a translation unit holds at least one declaration */
#endif
