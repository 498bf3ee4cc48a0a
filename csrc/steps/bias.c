/* bias.c: additive logit bias and the mask of allowed tokens. */
#include "../pipeline.h"

void fl_edit_logit_bias(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < v->entries; i++) {
        fl_edit *t = fl_edits_find(e, v->bias_ids[i]);
        if (t) t->logit += v->bias_values[i];
    }
}

/* Bit i % 32 of word i / 32 allows token i; tokens beyond the words are banned. */
void fl_edit_mask(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < e->count; i++) {
        int64_t id = e->at[i].id;
        if (id / 32 >= v->words_n || !(v->words[id / 32] >> id % 32 & 1)) e->at[i].logit = -(double)INFINITY;
    }
}
