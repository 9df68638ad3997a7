/* nftables over netlink: requests and their answers. */
#ifndef NETBR_NFT_H
#define NETBR_NFT_H

#include "nl.h"

/* The process's socket for nftables, opened when first asked for; NULL if it
 * can't be. One for all: the kernel lets nobody close such a socket while it
 * still puts away what was deleted (nf_tables_api.c, nft_rcv_nl_event), which
 * takes longer than the rest. So it is closed when everything else is done. */
struct nlx *nft_socket(void);
void nft_close(void);

/* The families that we have tables in. */
enum { NFT_FAMILIES = 3 };
extern const struct nft_family {
	uint8_t nf;		/* NFPROTO_* */
	const char *name;	/* nft's */
} nft_families[NFT_FAMILIES];
/* One of them by number, or by name; NULL for another. */
const struct nft_family *nft_family(uint8_t nf);
const struct nft_family *nft_family_named(const char *name);

/* A message of a type (NFT_MSG_*) for a family (NFPROTO_*). */
struct nl_msg *nft_request(int type, uint8_t family);
/* Takes a message of that type apart; false if it is another one. */
bool nft_parse(struct nlmsghdr *h, int type, struct nlattr **a, int max);
/* Is the attribute there, and this text? */
bool nft_named(struct nlattr *a, const char *name);

#endif
