#include "fastlogits.h"
#include <stdlib.h>
fl_where fl_plan_run(const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_rows *x, const fl_inputs *in,
                     const fl_results *out, int64_t begin, int64_t end) {
    (void)k; (void)s; (void)plan; (void)x; (void)in;
    for (int64_t r = begin; r < end; r++) if (out->ids) out->ids[r] = 0;
    return (fl_where){0, -1, 0, 0};
}
void fl_listing_free(fl_listing *l) { free(l->ids); free(l->logits); free(l->logprobs); }
double fl_uniform(uint64_t a, uint64_t b, uint64_t c) { return (double)(a+b+c) * 0; }
