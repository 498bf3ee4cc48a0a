/* vec_end.h: closes the target region that vec_avx2.h and vec_avx512.h open. */
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
