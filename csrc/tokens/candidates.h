/* candidates.h: the short list: survivors of a row, sorted. */
#ifndef FL_CANDIDATES_H
#define FL_CANDIDATES_H

#include "tokens/edit_list.h"

/* Candidates of a row. raw_*: as collected, by token id. id, logit, pos: sorted by (logit descending, id ascending);
 * the first n are alive; pos is the place in raw. mass: exp(logit - logit[0]) of the first `known`. */
typedef struct {
    const fl_kernels *k;
    fl_scratch *s;
    int64_t raw, n, known;
    int32_t *raw_id, *id, *pos, *order;
    double *raw_logit, *logit, *mass;
    double total; /* mass of all tokens that the next mass step counts, also of those not collected; 0: the list */
    double entropy, least; /* entropy and least logit of them, where total or partial says that they count */
    int partial;           /* tokens below the last of the list may be missing */
    int more;              /* the step needs some of them, */
    double reach;          /* as far as is known those of at least this mass; 0: not known */
    int failed;            /* FL_OK, or why a step could not work */
    double *joint;         /* masses remembered at the first joint cut, by pos, or NULL */
    double joint_total;
    double *shares;        /* [slots, raw]: probabilities where a step hears them, by pos, or NULL */
    const fl_edits *edits; /* context of edits behind a cut */
} fl_cands;

int fl_cands_room(fl_cands *c, int64_t room);
/* Sorts raw into the alive list. */
int fl_cands_sort(fl_cands *c);
/* Masses exp(logit - logit[0]) of the first n alive, at least. */
const double *fl_cands_masses(fl_cands *c, int64_t n);
/* Total mass of the list alone, in sorted order. */
double fl_cands_total(fl_cands *c);
void fl_cands_keep(fl_cands *c, int64_t n);
/* Takes -inf off the end: a division may have made it. */
void fl_cands_drop_banned(fl_cands *c);
/* Remembers masses and total at the first joint cut. */
void fl_cands_join(fl_cands *c);

/* The entropy of all survivors, in nats. */
double fl_cands_entropy(fl_cands *c);
/* Keeps the entries i with keep[i] != 0; keep may be c->order. */
void fl_cands_compact(fl_cands *c, const int32_t *keep);
/* Puts the alive list back in order after an edit. -inf leaves it. FL_OK, FL_ALL_BANNED or FL_NO_MEMORY. */
int fl_cands_resort(fl_cands *c);

#endif
