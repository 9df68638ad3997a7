/* DHCP leases of a bridge's own dnsmasq: its file, and giving one back. */
#ifndef NETBR_LEASE_H
#define NETBR_LEASE_H

#include "model.h"

struct lease {
	long expiry;		/* seconds since the epoch; 0: never */
	struct mac mac;
	struct ip ip;
	char name[64];		/* "*" if it gave none */
	char client_id[512];	/* "01:aa:..", "*" if it gave none */
};

struct leases {
	struct lease *v;
	size_t n;
};

/* The IPv4 leases that still run, from /var/lib/netbr/BR.leases (dnsmasq(8),
 * --dhcp-leasefile; its format is "EXPIRY MAC ADDRESS NAME CLIENT-ID"). No
 * file is no lease. */
void leases_load(struct leases *l, const char *root, const char *bridge);
void leases_free(struct leases *l);
/* The guest that this lease is in the way of: its address is reserved for
 * another MAC. NULL if of none. */
const struct guest *lease_blocks(const struct lease *l, const struct model *m,
				 const struct bridge *b);
/* Asks the server to forget the lease: a DHCPRELEASE (RFC 2131, 4.4.6) in the
 * name of who holds it; waits until its file no longer has it. The lease is
 * looked up by address. 0 or -errno (-ETIMEDOUT: it did not). */
int lease_release(const char *root, const char *bridge, const struct ip *server,
		  const struct ip *ip);

#endif
