/* distribution.h: the distributions beside drafted tokens; see laws.c. */
#ifndef FL_LAWS_H
#define FL_LAWS_H

#include "plan/survivors.h"

/* A distribution: a processed row, or probabilities as they are given, or none. */
typedef struct {
    fl_job job;
    fl_dense dense;
    double total;
    int64_t n; /* by id, once they were asked for */
    int32_t *ids;
    double *shares;
    fl_row row;
    int given, none;
    double observed[FL_MAX_STEPS];
} fl_law;

/* Of row `at` of x, by the plan with the parameters of row `of`. The job has begun, and knows context, position and key. hears:
 * fl_law_observe will be asked. A status. */
int fl_law_read(fl_law *l, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of, const double *memory,
                int hears);
/* Row `at` of the probabilities. A status. */
int fl_law_given(fl_law *l, const fl_kernels *k, fl_scratch *s, const fl_rows *probs, int64_t at);
/* No probabilities: 1 at the token that is asked for. */
void fl_law_none(fl_law *l);
/* The list's survivors by id. FL_OK or FL_NO_MEMORY. */
int fl_law_list(fl_law *l);
double fl_law_share(fl_law *l, int64_t id);
/* A token, by the inverse of its running mass, -1 where there is none; a list by id is at hand. */
int64_t fl_law_draw(const fl_law *l, double u);
/* A token drawn as `sample` draws it, in job.drawn. A status. */
int fl_law_sample(fl_law *l);
/* What a survivor is to the steps that remember, [steps]. */
const double *fl_law_observe(fl_law *l, int64_t id);

#endif
