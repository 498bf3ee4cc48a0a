/* program.h: the steps of a plan that do something to one row. */
#ifndef FL_PROGRAM_H
#define FL_PROGRAM_H

#include "base/scratch.h"
#include "tokens/context.h"
#include "tokens/step_values.h"
#include "kernels/kernels.h"

/* The steps of one row that do something. at[0 .. head - 1] are the edits and temperatures before the first cut. */
typedef struct {
    fl_step_values at[FL_MAX_STEPS];
    int32_t count, head;
    int32_t edits;      /* edit steps in the head */
    double temperature; /* product over the head */
    int32_t shares;     /* steps that hear a share */
    double skew;        /* the draw's u becomes u^exp(-skew) */
    int repair;         /* NaN and infinities become numbers before the row is read */
    int renormalise;    /* the last step: logits are told as log-probs */
} fl_program;

/* Finds the head again, after the first step behind it was replaced. */
void fl_program_head(fl_program *p);
/* memory: of the row, or NULL. FL_OK or FL_NO_MEMORY. */
int fl_program_read(fl_program *p, fl_scratch *s, const fl_plan *plan, int64_t r, int64_t n, const fl_context *c,
                    const double *memory);
/* Whether the first step behind the head is a cut by mass. */
static inline int fl_starts_with_mass(const fl_program *p) {
    return p->head < p->count && fl_is_mass_step(&p->at[p->head]);
}
/* Whether a cut that looks at the distribution as it was before several cuts stands behind the head. */
static inline int fl_has_joint(const fl_program *p) {
    for (int32_t i = p->head; i < p->count; i++)
        if (p->at[i].flags & FL_JOINT) return 1;
    return 0;
}
/* What the head makes of an unedited value: the temperatures, one after the other. */
double fl_head_value(const fl_program *p, double value);
void fl_head_values(const fl_kernels *k, const fl_program *p, double *values, int64_t n);

#endif
