/* bias.c: additive biases of tokens and of sequences, and the mask of allowed tokens. */
#include "steps/steps.h"

void fl_edit_logit_bias(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0) e->logit[at] += v->values[i];
    }
}

/* The last token of each list whose other tokens end the context (Hugging Face's sequence_bias). */
void fl_resolve_sequence_bias(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    int64_t n = 0;
    for (int64_t i = 0; i < v->entries; i++) {
        const int64_t *list = v->ids + v->offsets[i];
        int64_t before = v->offsets[i + 1] - v->offsets[i] - 1;
        if (!fl_context_ends(c, list, before)) continue;
        ids[n] = list[before];
        values[n++] = v->values[i];
    }
    v->ids = ids;
    v->values = values;
    v->entries = n;
}

void fl_edit_sequence_bias(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }

/* Bit i % 32 of word i / 32 allows token i; tokens beyond the words are banned. */
void fl_edit_mask(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < e->n; i++) {
        int64_t id = e->id[i];
        if (id / 32 >= v->words_n || !(v->words[id / 32] >> id % 32 & 1)) e->logit[i] = -(double)INFINITY;
    }
}
