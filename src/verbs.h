/* What netbr-apply does: the verbs. Each returns an exit code. */
#ifndef NETBR_VERBS_H
#define NETBR_VERBS_H

#include "session.h"

int verb_up(struct session *s);
int verb_down(struct session *s);
/* up, then wait for a confirmation; timeout_s 0: the default. */
int verb_try(struct session *s);
/* plan and status. */
int verb_show(struct session *s, bool status);
/* confirm and revert: to the try that waits. */
int verb_confirm(const struct cli *c);
int verb_revert(const struct cli *c);

#endif
