/* step_values.h: a step with the parameters of one row. */
#ifndef FL_STEP_VALUES_H
#define FL_STEP_VALUES_H

#include "fastlogits.h"

enum { FL_BLEND, FL_EDIT, FL_MAP, FL_CUT, FL_PICK }; /* kinds of steps.def */
enum {                                               /* what its steps need of all survivors, or of the tokens before */
       FL_NEEDS_NOTHING = 0,
       FL_NEEDS_MASS = 1,
       FL_NEEDS_ENTROPY = 2 | FL_NEEDS_MASS,
       FL_NEEDS_POWER = 4 | FL_NEEDS_MASS,
       FL_NEEDS_SPREAD = 8,
       FL_NEEDS_LIST = 16,
       FL_NEEDS_CONTEXT = 32,
       FL_NEEDS_PREFIX = 64,
       FL_NEEDS_PREFIX_BY_MASS = FL_NEEDS_PREFIX | FL_NEEDS_MASS,
       FL_NEEDS_PREFIX_BY_SPREAD = FL_NEEDS_PREFIX | FL_NEEDS_SPREAD
};
enum { FL_HEARS_NOTHING, FL_HEARS_SURPRISE, FL_HEARS_SHARE }; /* what a step wants to know of the drawn token */

/* A step with the parameters of one row. */
typedef struct {
    int32_t op, kind;
    int32_t index; /* in the user's plan */
    int32_t flags; /* FL_TIES_KEEP and so on */
    int32_t needs; /* FL_NEEDS_...; nothing once resolved */
    int32_t resolved;
    double value, second, third;
    double floor;    /* of a resolved step: it keeps what has logit >= floor */
    double u;        /* random number of a random step */
    uint64_t stream; /* where it comes from; 0: the step is not random */
    int64_t min_keep, window;
    int64_t vocab;       /* length of the row */
    int32_t hears, slot; /* FL_HEARS_...; which of those that hear a share */
    double memory[FL_MEMORY];
    const int64_t *ids;     /* of an edit: its tokens, with a value each where it has any */
    const int64_t *offsets; /* as in fl_lists; NULL once an edit is resolved */
    const double *values;
    int64_t entries;
    const uint32_t *words; /* of an edit: it bans what they do not allow */
    int64_t words_n;
} fl_step_values;

static inline int64_t fl_integer_at(fl_per_row_i p, int64_t r, int64_t unset) {
    return p.at ? p.at[r * p.step] : unset;
}
/* What the step of that id needs, FL_NEEDS_... */
int32_t fl_needs_of(int32_t op);
/* How many lists belong to row r. */
int64_t fl_lists_of(const fl_lists *l, int64_t r);
/* FL_BLEND and so on. */
int32_t fl_kind_of(int32_t op);
/* A step with the parameters of row r. */
void fl_step_values_read(fl_step_values *v, const fl_step *s, int64_t r, int32_t index);
/* A cut by mass, which the exponential pass over the whole row serves. */
static inline int fl_is_mass_step(const fl_step_values *v) {
    return v->op == FL_OP_top_p || (v->flags & FL_JOINT && v->op == FL_OP_top_k);
}
/* Whether the step asks something of all survivors that a pass over the row must tell first. */
static inline int fl_is_shaped(const fl_step_values *v) { return v->needs && !v->resolved && v->op != FL_OP_top_p; }
/* Whether the step counts the tokens of the context. */
static inline int fl_reads_context(const fl_step_values *v) {
    return v->op == FL_OP_repetition_penalty || v->op == FL_OP_frequency_penalty || v->op == FL_OP_presence_penalty;
}
/* First context position that the step counts, whatever its window. */
int64_t fl_counts_from(const fl_step_values *v, int64_t prompt_length);
/* The least sum that ends a prefix by mass: the step's share of total, or, if strict, what lies right above it. */
double fl_target(const fl_step_values *v, double total);
/* smoothing: max - k d^2 + s d^3 with d = l - max, k = f (3 - c) / 2, s = f (c - 1) / 2. */
double fl_smoothed(const fl_step_values *v, double logit, double top);

#endif
