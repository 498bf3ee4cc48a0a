/* rows_tpl.h: all kernels of one row type (FL_TYPE and its load and store), then forgets the type. */
#include "scan_tpl.h"
#include "sumexp_tpl.h"
#include "mean_tpl.h"
#include "spread_tpl.h"
#include "temperatures_tpl.h"
#include "divergence_tpl.h"
#include "collect_tpl.h"
#include "finish_tpl.h"
#include "blend_tpl.h"
#undef FL_TYPE
#undef FL_SIZE
#undef FL_LOAD
#undef FL_LOAD_N
#undef FL_STORE
#undef FL_STORE_N
