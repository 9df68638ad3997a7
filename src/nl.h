/* Netlink: ask, be answered, know why not. On libnl-3. */
#ifndef NETBR_NL_H
#define NETBR_NL_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "util.h"

#define NLX_IN_SIZE (1u << 18)

struct nlx {
	struct nl_sock *sk;
	char why[256];		/* the kernel's own words on the last error */
	unsigned int changes;	/* changing messages sent */
	char *in;		/* what is received goes here first:
				 * NLX_IN_SIZE bytes */
};

/* Opens a socket of a netlink protocol (NETLINK_ROUTE, ...). 0 or -errno. */
int nlx_open(struct nlx *nl, int protocol);
void nlx_shut(struct nlx *nl);

/* Sends one request and waits for its answer. Frees the message. Returns 0
 * or -errno, with nl->why set to the kernel's text ("" if it gave none). */
int nlx_ask(struct nlx *nl, struct nl_msg *msg);

/* Asks for one object: fn is called for what is answered. Frees the message.
 * 0 or -errno. */
typedef void (*nlx_dump_fn)(struct nlmsghdr *h, void *arg);
int nlx_get(struct nlx *nl, struct nl_msg *msg, nlx_dump_fn fn, void *arg);

/* Several requests in one system call: the kernel handles them all before
 * it returns, so no signal falls between them. They are not a transaction:
 * a failing one does not stop the next. */
struct nlx_batch {
	struct buf bytes;
	unsigned int n;
	uint32_t first_seq;
	size_t last;		/* where the last one begins */
};
/* Adds and frees a message. */
void nlx_batch_add(struct nlx *nl, struct nlx_batch *b, struct nl_msg *msg);
/* Adds and frees a message whose answer nobody waits for: the marks around a
 * transaction, a question for the sake of what it makes the kernel do. */
void nlx_batch_mark(struct nlx *nl, struct nlx_batch *b, struct nl_msg *msg);
/* Sends; *failed gets the number of the first message that failed in a way
 * that ignore() (may be NULL) does not call harmless. Returns 0 or that
 * one's -errno. The batch is empty afterwards. */
int nlx_batch_send(struct nlx *nl, struct nlx_batch *b, unsigned int *failed,
		   bool (*ignore)(void *arg, unsigned int n, int rc),
		   void *arg);

/* Dumps a table: fn is called for every message. A dump that the kernel
 * calls inconsistent is repeated, up to 8 times; `again` (may be NULL) is
 * called before each repetition to forget what was collected. 0 or -errno. */
int nlx_dump(struct nlx *nl, struct nl_msg *msg, nlx_dump_fn fn,
	    void (*again)(void *arg), void *arg);

#endif
