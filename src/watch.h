/* Running `up` when an uplink has changed. */
#ifndef NETBR_WATCH_H
#define NETBR_WATCH_H

#include "cli.h"

/* Listens until it is ended. Returns an exit code only if it can't. */
int verb_watch(const struct cli *c, const struct model *m);

#endif
