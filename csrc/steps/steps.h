/* steps.h: the steps: one function per line of steps.def, and the three switches over them. */
#ifndef FL_STEPS_H
#define FL_STEPS_H

#include "tokens/candidates.h"

/* Makes plain entries, or words, or nothing of a step; ids and values have room for entries + c->n. */
#define FL_PROTO_NOTHING(name)
#define FL_PROTO_MASS(name)
#define FL_PROTO_ENTROPY(name)
#define FL_PROTO_POWER(name)
#define FL_PROTO_SPREAD(name)
#define FL_PROTO_LIST(name)
#define FL_PROTO_PREFIX_BY_MASS(name)
#define FL_PROTO_PREFIX_BY_SPREAD(name)
#define FL_PROTO_CONTEXT(name)                                                                                         \
    void fl_resolve_##name(const fl_context *c, fl_step_values *v, int64_t *ids, double *values);
#define FL_STEP(id, name, kind, needs, off) FL_PROTO_##needs(name)
#include "steps/steps.def"
#undef FL_STEP

/* One function per line of steps.def: edits act on entries, the other kinds on the list. */
#define FL_PROTO_BLEND(name)
#define FL_PROTO_EDIT(name) void fl_edit_##name(fl_edits *e, const fl_step_values *v);
#define FL_PROTO_MAP(name) void fl_list_##name(fl_cands *c, const fl_step_values *v);
#define FL_PROTO_CUT(name) FL_PROTO_MAP(name)
#define FL_PROTO_PICK(name) FL_PROTO_MAP(name)
#define FL_STEP(id, name, kind, needs, off) FL_PROTO_##kind(name)
#include "steps/steps.def"
#undef FL_STEP

/* ---- dispatch.c ---------------------------------------------------------------------------------- */

/* What a step that reads the context comes to. */
void fl_resolve(const fl_context *c, fl_step_values *v, int64_t *ids, double *values);
/* An edit, or a temperature, on the entries. */
void fl_edits_apply(fl_edits *e, const fl_step_values *v);
/* Any step on the list: FL_OK, FL_STEP_INF, FL_ALL_BANNED, FL_NO_MEMORY. */
int fl_cands_step(fl_cands *c, const fl_step_values *v);

/* ---- what several steps share -------------------------------------------------------------------- */

/* What the floor steps ask of all survivors: total and power in units of the top's mass to that power. */
typedef struct {
    double top, total, entropy, power, deviation, least;
    int64_t alive;
} fl_shape;
/* The logit from which on a step (min_p, epsilon_cutoff, eta_cutoff, top_a, p_less, top_n_sigma, mirostat 2) keeps
 * tokens, and the cut there, by the shape of the list if that is not known. */
double fl_floor_of_step(const fl_shape *s, const fl_step_values *v);
void fl_list_floor(fl_cands *c, const fl_step_values *v);
/* The temperature that a dynamic one comes to. */
double fl_dynamic_temperature(const fl_shape *s, const fl_step_values *v);
/* c->order[i] = 1 for the tokens that typical_p takes by their distance from the logit `middle` until sum, which counts
 * from that given, reaches the target. Returns how many, -1 if the list is too short; last: the distance of the
 * last of them. */
int64_t fl_typical_walk(fl_cands *c, const fl_step_values *v, double middle, double sum, double target, double *last);
/* keep[i] = 0 for the tokens of the list that xtc removes, and their number; 0 if less than min_keep of `alive` tokens
 * would stay. */
int64_t fl_xtc_removed(fl_cands *c, const fl_step_values *v, int64_t alive, int32_t *keep);

#endif
