/* nftables over netlink: requests and their answers. */
#ifndef NETBR_NFT_H
#define NETBR_NFT_H

#include "nl.h"

/* A message of a type (NFT_MSG_*) for a family (NFPROTO_*). */
struct nl_msg *nft_request(int type, uint8_t family);
/* Takes a message of that type apart; false if it is another one. */
bool nft_parse(struct nlmsghdr *h, int type, struct nlattr **a, int max);

#endif
