/* cpu.c: which instruction sets CPU and operating system offer. */
#include "base/interface.h"
#include "kernels/kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

extern const fl_kernels fl_kernels_avx2, fl_kernels_avx512;

/* Extended control register 0: which register states the operating system saves. */
static uint64_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has_avx2(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned need = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA, OSXSAVE, AVX, F16C */
    if ((c & need) != need || (saved_states() & 6) != 6) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b >> 5 & 1) && (b >> 3 & 1); /* AVX2, BMI1 */
}

static int has_avx512(void) {
    unsigned a, b, c, d;
    if (!has_avx2() || (saved_states() & 0xe6) != 0xe6) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const unsigned need = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* AVX512 F, DQ, BW, VL */
    return (b & need) == need;
}
#else
static int has_avx2(void) { return 0; }
static int has_avx512(void) { return 0; }
#endif

#if defined(__aarch64__)
extern const fl_kernels fl_kernels_neon;
#endif
extern const fl_kernels fl_kernels_scalar;

static int always(void) { return 1; }

/* Best first. A table that is NULL was not compiled. */
static const struct {
    const char *name;
    int (*supported)(void);
    const fl_kernels *kernels;
} isas[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512", has_avx512, &fl_kernels_avx512},
    {"avx2", has_avx2, &fl_kernels_avx2},
#else
    {"avx512", has_avx512, NULL},
    {"avx2", has_avx2, NULL},
#endif
#if defined(__aarch64__)
    {"neon", always, &fl_kernels_neon},
#else
    {"neon", always, NULL},
#endif
    {"scalar", always, &fl_kernels_scalar},
};

int fl_isa_count(void) { return (int)(sizeof isas / sizeof isas[0]); }
const char *fl_isa_name(int i) { return isas[i].name; }
int fl_isa_compiled(int i) { return isas[i].kernels != NULL; }
int fl_isa_supported(int i) { return isas[i].kernels != NULL && isas[i].supported(); }
const fl_kernels *fl_isa_kernels(int i) { return fl_isa_supported(i) ? isas[i].kernels : NULL; }
