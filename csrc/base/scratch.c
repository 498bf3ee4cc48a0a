/* scratch.c: buffers that grow on demand and are kept between calls. */
#include "base/scratch.h"
#include <stdlib.h>

fl_scratch *fl_scratch_new(void) { return calloc(1, sizeof(fl_scratch)); }

void fl_scratch_stop(fl_scratch *s, const volatile int32_t *stop) { s->stop = stop; }

void fl_scratch_free(fl_scratch *s) {
    if (!s) return;
    for (int i = 0; i < FL_BUFFERS; i++) free(s->raw[i]);
    free(s);
}

void *fl_buffer(fl_scratch *s, int which, size_t bytes) {
    if (fl_stopped(s)) return NULL;
    if (s->bytes[which] >= bytes) return s->room[which];
    free(s->raw[which]);
    size_t want = (bytes + 63) / 64 * 64;
    s->raw[which] = malloc(want + 63);
    s->bytes[which] = s->raw[which] ? want : 0;
    s->room[which] = s->raw[which] ? (char *)s->raw[which] + (64 - (uintptr_t)s->raw[which] % 64) % 64 : NULL;
    return s->room[which];
}
