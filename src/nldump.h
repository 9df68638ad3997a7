/* The kernel's links, addresses and routes into a kstate. */
#ifndef NETBR_NLDUMP_H
#define NETBR_NLDUMP_H

#include "kstate.h"
#include "model.h"
#include "nl.h"

/* Fills *k (zeroed by the caller). Four dumps. Returns 0, or -errno with
 * *k empty: an incomplete dump is never passed on. */
int nldump_all(struct nlx *nl, struct kstate *k);
/* The same where *k is filled already and, of the links, only those named can
 * have changed: they are asked for one by one. */
int nldump_again(struct nlx *nl, struct kstate *k, const struct list *names);
/* Are all IPv6 addresses of a link in use, none of them tentative? The kernel
 * puts a new one into use some time after its request (addrconf.c: a work
 * queue), even where no duplicate is looked for. True too if it can't say. */
bool nldump_settled(struct nlx *nl, int index);
/* Adds the proxy neighbours (ip-neighbour(8)). 0 or -errno. */
int nldump_proxies(struct nlx *nl, struct kstate *k);
/* Adds our programs on the taps of *k (one dump each). 0 or -errno. */
int nldump_screens(struct nlx *nl, struct kstate *k);
/* Adds what our qdiscs on the links of *k are set to. 0 or -errno. */
int nldump_rates(struct nlx *nl, struct kstate *k);

#endif
