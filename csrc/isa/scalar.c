/* The kernels in plain C: what runs where nothing better does, and the twin that the vector code must match. */
#include "../kernels.h"
#include "../vec/vec_portable.h"
#define FL_ISA scalar
#include "../kernels/table_tpl.h"
