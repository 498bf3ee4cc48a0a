/* The kernels for any machine, and the reference that the other instruction sets must match bit for bit. */
#include "kernels/kernels.h"
#include "vec/vec_portable.h"
#define FL_ISA scalar
#include "kernels/table_tpl.h"
