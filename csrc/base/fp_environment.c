/* fp_environment.c: the floating-point environment of every entry. */
#include "base/interface.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
/* MXCSR 0x1f80: nearest even, subnormals kept, no exception raised. */
uint64_t fl_env_enter(void) {
    uint64_t saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
    return saved;
}
void fl_env_leave(uint64_t saved) { _mm_setcsr((unsigned)saved); }
#elif defined(__aarch64__)
/* FPCR 0: nearest even, subnormals kept, no exception trapped. */
uint64_t fl_env_enter(void) {
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return saved;
}
void fl_env_leave(uint64_t saved) { __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }
#else
uint64_t fl_env_enter(void) { return 0; }
void fl_env_leave(uint64_t saved) { (void)saved; }
#endif
