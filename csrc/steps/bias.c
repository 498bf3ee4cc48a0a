/* bias.c: additive logit bias and the mask of allowed tokens. */
#include "../pipeline.h"

void fl_edit_logit_bias(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->bias_ids[i]);
        if (at >= 0) e->logit[at] += v->bias_values[i];
    }
}

/* Bit i % 32 of word i / 32 allows token i; tokens beyond the words are banned. */
void fl_edit_mask(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < e->n; i++) {
        int64_t id = e->id[i];
        if (id / 32 >= v->words_n || !(v->words[id / 32] >> id % 32 & 1)) e->logit[i] = -(double)INFINITY;
    }
}
