/* table_tpl.h: every kernel for the instruction set whose vocabulary is open, and their table.
 * FL_ISA is the name; FL_N(name) and FL_X(name) are the local names of kernels without and with a row type. */
#include <float.h>
#include <math.h>

#define FL_CAT_(a, b, c) a##_##b##_##c
#define FL_CAT(a, b, c) FL_CAT_(a, b, c)
#define FL_N(name) FL_CAT(name, FL_ISA, all)
#define FL_X(name) FL_CAT(name, FL_ISA, FL_TYPE)

#include "exp_tpl.h"
#include "groups_tpl.h"
#include "double_tpl.h"
#include "compare_tpl.h"
#include "pack_tpl.h"

#define FL_TYPE f32
#define FL_SIZE 4
#define FL_LOAD vf_load_f32
#define FL_LOAD_N vf_load_n_f32
#define FL_STORE vf_store_f32
#define FL_STORE_N vf_store_n_f32
#include "rows_tpl.h"

#define FL_TYPE f16
#define FL_SIZE 2
#define FL_LOAD vf_load_f16
#define FL_LOAD_N vf_load_n_f16
#define FL_STORE vf_store_f16
#define FL_STORE_N vf_store_n_f16
#include "rows_tpl.h"

#define FL_TYPE bf16
#define FL_SIZE 2
#define FL_LOAD vf_load_bf16
#define FL_LOAD_N vf_load_n_bf16
#define FL_STORE vf_store_bf16
#define FL_STORE_N vf_store_n_bf16
#include "rows_tpl.h"

#define FL_TYPE thirds
#define FL_SIZE 12
#define FL_LOAD vf_read_thirds
#define FL_LOAD_N vf_load_n_thirds
#include "scan_tpl.h"
#include "collect_tpl.h"

#define FL_STR_(a) #a
#define FL_STR(a) FL_STR_(a)
#define FL_KERNEL(result, name, args) .name = FL_N(name),
#define FL_KERNEL_X(result, name, args)                                                                                \
    .name = {FL_CAT(name, FL_ISA, f32), FL_CAT(name, FL_ISA, f16), FL_CAT(name, FL_ISA, bf16)},
#define FL_KERNEL_T(result, name, args)                                                                                \
    .name = {FL_CAT(name, FL_ISA, f32), FL_CAT(name, FL_ISA, f16), FL_CAT(name, FL_ISA, bf16), NULL,                   \
             FL_CAT(name, FL_ISA, thirds)},
const fl_kernels FL_CAT(fl, kernels, FL_ISA) = {
    .name = FL_STR(FL_ISA),
#include "kernels/kernels.def"
};
#undef FL_KERNEL
#undef FL_KERNEL_X
#undef FL_KERNEL_T
