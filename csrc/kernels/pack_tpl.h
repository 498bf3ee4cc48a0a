/* pack_tpl.h: the logits of records of three 32-bit fields. Nothing behind the last logit is read. */

FL_INLINE vf vf_load_n_thirds(const void *p, int64_t n, float fill) {
    float w[FL_LANES];
    for (int64_t i = 0; i < FL_LANES; i++) w[i] = fill;
    for (int64_t i = 0; i < n; i++) memcpy(w + i, (const char *)p + 12 * i, 4);
    return vf_load_f32(w);
}

/* Asks for what comes 2 KiB later: a row of records is long for a cache. */
FL_INLINE vf vf_read_thirds(const void *p) {
    for (int i = 0; i < 12 * FL_LANES; i += 64) __builtin_prefetch((const char *)p + 2048 + i);
    return vf_load_thirds(p);
}

/* The logits side by side. */
static void FL_N(pack_thirds)(const void *x, int64_t n, float *to) {
    const char *from = (const char *)x;
    int64_t i = 0;
    for (; i + FL_LANES <= n; i += FL_LANES) vf_store_f32(to + i, vf_read_thirds(from + 12 * i));
    for (; i < n; i++) memcpy(to + i, from + 12 * i, 4);
}
