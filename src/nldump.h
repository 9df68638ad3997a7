/* The kernel's links, addresses and routes into a kstate. */
#ifndef NETBR_NLDUMP_H
#define NETBR_NLDUMP_H

#include "kstate.h"
#include "nl.h"

/* Fills *k (zeroed by the caller). Four dumps. Returns 0, or -errno with
 * *k empty: an incomplete dump is never passed on. */
int nldump_all(struct nlx *nl, struct kstate *k);
/* Adds what our qdiscs on the links of *k are set to. 0 or -errno. */
int nldump_rates(struct nlx *nl, struct kstate *k);

#endif
