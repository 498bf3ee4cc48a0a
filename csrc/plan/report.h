/* report.h: what is told of drawn tokens. */
#ifndef FL_REPORT_H
#define FL_REPORT_H

#include "plan/job.h"

/* Whether ids, and what comes with them for nothing, are all that is wanted. */
static inline int fl_only_ids(const fl_job *j) {
    const fl_results *o = j->out;
    return !o->logprobs && !o->ranks && !o->top_n && !o->raw_logprobs && !j->observed;
}
/* Room for the tokens that are asked for, in j->drawn. FL_OK or a failure. */
int fl_drawn_open(fl_job *j);
/* What j->drawn tells, and what steps hear of its first token; log_total: ln of the total in units of the mass of `top`. */
int fl_report_drawn(fl_job *j, double top, double log_total);
/* The first of the sorted list as table of the best; log_total: ln of the total in units of the list's top. */
void fl_report_best(fl_job *j, const fl_cands *c, double log_total);
/* What a drawn token is to the steps that remember, into j->observed: its surprise in bits, or its probability where the
 * step stood. */
void fl_observe(fl_job *j, int64_t id, double logprob);
/* FL_OK if the largest logit is finite in the type of the result. */
int fl_fits(fl_job *j, const fl_rows *out, double top);

#endif
