/* What macnat's tables have learned, and what they need of the kernel. */
#ifndef NETBR_TRANSLATE_H
#define NETBR_TRANSLATE_H

#include "addr.h"
#include "util.h"

/* An address that belongs to a guest's MAC. */
struct translation {
	struct ip ip;
	struct mac mac;
	bool learned;		/* from the guest's ARP or neighbour discovery;
				 * else declared */
	unsigned int age_s;	/* since it was last seen, if learned */
};

struct translations {
	struct translation *v;
	size_t n;
};

/* The tables of a bridge, declared ones first; empty if none is loaded. */
void translations_load(struct translations *t, const char *bridge);

/* Does the kernel take a table like ours (asked with nft -c, which changes
 * nothing)? host_uplink: for that too. NULL if it does; else what is missing,
 * by its kernel option. */
char *translation_missing(bool host_uplink);

/* Can rules ask which bridge a frame is on (CONFIG_NFT_BRIDGE_META)? Asked
 * once a boot; root/run/netbr/kernel keeps the answer. */
bool kernel_names_bridges(const char *root);

#endif
