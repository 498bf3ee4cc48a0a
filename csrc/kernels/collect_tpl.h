/* collect_tpl.h: picks the few values of a row that reach a floor, in token-id order. Included once per type. */

/* Blocks lie apart: no machine foresees the next one. */
FL_INLINE void FL_X(ask_for_block)(const void *x, int64_t b) {
    const char *p = (const char *)x + b * FL_BLOCK * FL_SIZE;
    for (int i = 0; i < FL_BLOCK * FL_SIZE; i += 64) __builtin_prefetch(p + i);
}

FL_INLINE int64_t FL_X(collect_body)(const void *x, int64_t n, const uint16_t *live, const float *gmax, float lo,
                                     float hi, int64_t equals, int64_t room, int32_t *ids, float *values, int bounded) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, vectors = (n + FL_LANES - 1) / FL_LANES, count = 0;
    int strict = 0;
    vf floor = vf_set1(lo), ceiling = vf_set1(hi);
    /* Blocks worth reading first, a run at a time: a loop without unpredictable branches. */
    for (int64_t from = 0, to; from < blocks; from = to) {
        int32_t run[FL_BLOCK];
        int64_t found = 0;
        to = from + FL_BLOCK < blocks ? from + FL_BLOCK : blocks;
        for (int64_t b = from; b < to; b++) {
            run[found] = (int32_t)b;
            found += vm_bits(vf_ge(vf_load_f32(gmax + b * FL_LANES), floor)) != 0;
        }
        for (int64_t r = 0; r < found; r++) {
            int64_t first = (int64_t)run[r] * 16, end = first + 16 < vectors ? first + 16 : vectors;
            if (r + 1 < found) FL_X(ask_for_block)(x, run[r + 1]);
            for (int64_t i = first; i < end; i++) {
                vf v = FL_X(vector_at)(x, n, i, -INFINITY);
                vm in = vf_ge(v, floor);
                if (bounded) in = vm_and(in, vf_gt(ceiling, v));
                unsigned hit = vm_bits(in);
                if (!hit) continue;
                unsigned equal = strict ? 0 : hit & ~vm_bits(vf_gt(v, floor));
                if (live) hit &= live[i];
                if (count + FL_LANES > room) return -1;
                if (equal & hit) hit = FL_N(limit_equals)(hit, equal & hit, &equals);
                vf_compress(values + count, hit, v);
                vec_compress_ids(ids + count, hit, (int32_t)(i * FL_LANES));
                count += __builtin_popcount(hit);
            }
            if (equals <= 0 && !strict) {
                /* No more equals: from the next block on the floor lies right above them. */
                floor = vf_set1(fl_float_after(lo));
                strict = 1;
                to = run[r] + 1;
                break;
            }
        }
    }
    return count;
}

/* Live values v with lo <= v < hi go to ids and values, ascending by id; of those equal to lo only the first `equals`.
 * Blocks whose group maxima stay below lo are not read. hi NaN: no upper end. Returns how many were written, or -1 when
 * `room` might not hold them and 16 more, which are scratched on. */
static int64_t FL_X(row_collect)(const void *x, int64_t n, const uint16_t *live, const float *gmax, float lo, float hi,
                                 int64_t equals, int64_t room, int32_t *ids, float *values) {
    if (hi == hi) return FL_X(collect_body)(x, n, live, gmax, lo, hi, equals, room, ids, values, 1);
    return FL_X(collect_body)(x, n, live, gmax, lo, hi, equals, room, ids, values, 0);
}

/* How many values are >= t. Blocks whose group maxima stay below t are not read. */
static int64_t FL_X(row_reach)(const void *x, int64_t n, const float *gmax, float t) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK, count = 0;
    vf floor = vf_set1(t);
    for (int64_t b = 0; b < blocks; b++) {
        if (!vm_bits(vf_ge(vf_load_f32(gmax + b * FL_LANES), floor))) continue;
        for (int64_t i = b * 16; i < b * 16 + 16; i++) {
            vf v = b < whole ? FL_LOAD((const char *)x + i * FL_LANES * FL_SIZE) : FL_X(vector_at)(x, n, i, -INFINITY);
            count += __builtin_popcount(vm_bits(vf_ge(v, floor)));
        }
    }
    return count;
}

/* Id of the nth (from 0) live value v with lo <= v < hi, or n if there are not so many. */
static int64_t FL_X(row_nth)(const void *x, int64_t n, const uint16_t *live, float lo, float hi, int64_t nth) {
    int64_t vectors = (n + FL_LANES - 1) / FL_LANES;
    vf floor = vf_set1(lo), ceiling = vf_set1(hi);
    for (int64_t i = 0; i < vectors; i++) {
        vf v = FL_X(vector_at)(x, n, i, -INFINITY);
        unsigned hit = vm_bits(vf_ge(v, floor)) & ~vm_bits(vf_ge(v, ceiling));
        if (n - i * FL_LANES < FL_LANES) hit &= (1u << (n - i * FL_LANES)) - 1;
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
