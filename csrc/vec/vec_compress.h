/* vec_compress.h: the compressing part of the vocabulary where no instruction does it. */

/* The lanes named by bits, side by side. */
FL_INLINE void vf_compress(float *p, unsigned bits, vf a) {
    float w[16];
    vf_store_f32(w, a);
    for (; bits; bits &= bits - 1) *p++ = w[__builtin_ctz(bits)];
}
/* The same for the numbers first, first + 1, ... of the lanes. */
FL_INLINE void vec_compress_ids(int32_t *p, unsigned bits, int32_t first) {
    for (; bits; bits &= bits - 1) *p++ = first + __builtin_ctz(bits);
}
/* The same for integers, 16 of them to be read; p may lie at or before `from`. */
FL_INLINE void vec_compress_ints(int32_t *p, unsigned bits, const int32_t *from) {
    for (; bits; bits &= bits - 1) *p++ = from[__builtin_ctz(bits)];
}
