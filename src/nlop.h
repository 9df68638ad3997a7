/* Operations as netlink messages. */
#ifndef NETBR_NLOP_H
#define NETBR_NLOP_H

#include "nl.h"
#include "op.h"

/* A question for the state of a link (few of its attributes): the kernel then
 * takes note of a carrier that is gone. NULL for an operation that does not
 * make a port of a link that we have just made. */
struct nl_msg *nlop_look(const struct op *op);
/* The message for a link, address or route operation; NULL with *rc set to
 * -errno if a link it names does not exist. */
struct nl_msg *nlop_message(const struct op *op, int *rc);

/* The qdisc on which programs hang (tc-bpf(8)). */
struct nl_msg *nlop_clsact(const char *link);
/* Indexes that were looked up count no longer: something has changed. */
void nlop_forget(void);
/* Does a link of this name exist? */
bool link_exists(const char *name);

/* Deletes links: one by one, or, from three on, through a private group in
 * chunks, so that the kernel pays its grace periods once a chunk and never
 * holds its lock for long. done() (may be NULL) hears how many went. 0 or
 * -errno. */
int nlop_delete_links(struct nlx *nl, char (*names)[IFNAMSIZ], size_t n,
		      void (*done)(size_t n));

#endif
