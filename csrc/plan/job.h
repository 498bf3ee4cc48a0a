/* job.h: one row on its way from logits to results. */
#ifndef FL_JOB_H
#define FL_JOB_H

#include "plan/program.h"
#include "rows/floor.h"
#include "rows/mass.h"
#include "steps/steps.h"

/* Tokens drawn from a row. */
typedef struct {
    int64_t room, n;
    double base; /* what Gumbel-max subtracts from logits before it adds noise */
    int64_t *id, *rank;
    double *logit, *perturbed;
} fl_drawn;

/* The survivors of a row that were never listed: tokens before (cut_logit, cut_id) in the order, or equal to it.
 * Unedited survivors are those with value >= low before id `split` (a multiple of FL_BLOCK), with value >= high from
 * there on, and the extra ones. */
typedef struct {
    fl_mass mass;
    double cut_logit;
    int64_t cut_id, split;
    float low, high;
    const int32_t *extra;
    double *extra_logit, *extra_mass; /* masses in the unit of mass */
    int64_t extra_n;
    double *sums;            /* masses of the survivors by block, extra and edited ones included, in the unit of mass */
    double total, total_low; /* total_low: what rounding total lost */
    double log_total;        /* ln(total / mass of the top) */
    const fl_step_values *smooth; /* the map behind the head, or NULL; it has worked on edited tokens already */
    int64_t uniform;              /* > 0: so many survivors, all unedited and equal to the top value */
} fl_dense;

/* One row on its way. */
typedef struct {
    const fl_kernels *k;
    fl_scratch *s;
    const fl_inputs *in;
    const fl_results *out;
    int64_t r;
    int gumbel; /* tokens are drawn by Gumbel-max */
    fl_row row;
    int64_t position, key;
    fl_row
        parts[1 +
              FL_MOST_BESIDE];   /* the logits as they came and the rows beside them, if the first step combines them */
    int32_t parts_n, shift_free; /* shift_free: a constant added to all logits does not show */
    fl_blend blend;
    fl_program program;
    fl_edits edits;
    const uint16_t *live;
    float *gmax, *smax;
    fl_reached reached;                /* of gmax */
    int banned;                        /* FL_BUF_BANNED holds tokens */
    const fl_mass *known;              /* of the same live tokens at another temperature, or NULL */
    fl_mass held;                      /* room for that */
    int opened;                        /* the head has worked on the edited tokens */
    uint32_t refused;                  /* bit i: path i cannot serve the row */
    double top;                        /* largest logit of all tokens behind the head */
    double *edited_mass, edited_total; /* exp(logit - top) of the edited tokens, and their sum */
    fl_cands list;
    double *observed; /* of the row, or NULL */
    fl_drawn drawn;
    fl_dense *kept; /* instead of a result the distribution is kept: here, or in the list */
    int is_dense;
    fl_trace trace;
    fl_where where;
} fl_job;

/* FL_NAN and so on, with the step and the value that where tells. Returns status. */
int fl_fail(fl_job *j, int status, int32_t step, double value);
/* A job for the parameters of row r. */
void fl_job_begin(fl_job *j, const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_inputs *in,
                  const fl_results *out, int64_t r);
/* What is known of a row is forgotten, before it is read again. */
void fl_job_reset(fl_job *j);
/* A random number of the row: stream 0 draws tokens, the steps have the others. */
double fl_uniform_of(const fl_job *j, uint64_t stream, int64_t number);
/* The u of a draw from the row. */
double fl_draw_u(const fl_job *j, int64_t number);

#endif
