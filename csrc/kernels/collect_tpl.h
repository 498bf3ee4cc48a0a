/* collect_tpl.h: picks the few values of a row that reach a floor, in token-id order. Included once per type. */

/* Live values v with lo <= v < hi go to ids and values, ascending by id; of those equal to lo only the first `equals`.
 * Blocks whose group maxima stay below lo are not read. hi NaN: no upper end. Returns how many were written, or -1 when
 * `room` might not hold them. */
FL_INLINE int64_t FL_X(collect_body)(const void *x, int64_t n, const uint16_t *live, const float *gmax, float lo,
                                     float hi, int64_t equals, int64_t room, int32_t *ids, float *values, int bounded) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, vectors = (n + FL_LANES - 1) / FL_LANES, count = 0;
    vf floor = vf_set1(lo), ceiling = vf_set1(hi);
    for (int64_t b = 0; b < blocks; b++) {
        if (!vm_bits(vf_ge(vf_load_f32(gmax + b * FL_LANES), floor))) continue;
        int64_t end = b * 16 + 16 < vectors ? b * 16 + 16 : vectors;
        for (int64_t i = b * 16; i < end; i++) {
            vf v = FL_X(vector_at)(x, n, i, -INFINITY);
            vm in = vf_ge(v, floor);
            if (bounded) in = vm_and(in, vf_gt(ceiling, v));
            unsigned hit = vm_bits(in);
            if (!hit) continue;
            if (live) hit &= live[i];
            if (count + FL_LANES > room) return -1;
            float w[FL_LANES];
            vf_store_f32(w, v);
            for (; hit; hit &= hit - 1) {
                int l = __builtin_ctz(hit);
                if (w[l] == lo && equals-- <= 0) continue;
                ids[count] = (int32_t)(i * FL_LANES + l);
                values[count++] = w[l];
            }
        }
        if (equals <= 0) floor = vf_set1(fl_next_up(lo));
    }
    return count;
}

static int64_t FL_X(row_collect)(const void *x, int64_t n, const uint16_t *live, const float *gmax, float lo, float hi,
                                 int64_t equals, int64_t room, int32_t *ids, float *values) {
    if (hi == hi) return FL_X(collect_body)(x, n, live, gmax, lo, hi, equals, room, ids, values, 1);
    return FL_X(collect_body)(x, n, live, gmax, lo, hi, equals, room, ids, values, 0);
}

/* Id of the nth (from 0) live value v with lo <= v < hi, or n if there are not so many. */
static int64_t FL_X(row_nth)(const void *x, int64_t n, const uint16_t *live, float lo, float hi, int64_t nth) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vf floor = vf_set1(lo), ceiling = vf_set1(hi);
    for (int64_t i = 0; i < vectors; i++) {
        vf v = FL_X(vector_at)(x, n, i, -INFINITY);
        unsigned hit = vm_bits(vf_ge(v, floor)) & ~vm_bits(vf_ge(v, ceiling));
        if (live) hit &= live[i];
        int64_t here = __builtin_popcount(hit);
        if (nth >= here) {
            nth -= here;
            continue;
        }
        for (; nth > 0; nth--) hit &= hit - 1;
        return i * FL_LANES + __builtin_ctz(hit);
    }
    return n;
}
