#include "nft.h"

#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <unistd.h>

static struct nlx shared;
static pid_t owner;	/* a guard asks on a socket of its own */

struct nlx *nft_socket(void)
{
	if (shared.sk && owner == getpid())
		return &shared;
	if (nlx_open(&shared, NETLINK_NETFILTER) < 0)
		return NULL;
	owner = getpid();
	return &shared;
}

void nft_close(void)
{
	if (shared.sk && owner == getpid())
		nlx_shut(&shared);
}

const struct nft_family nft_families[NFT_FAMILIES] = {
	{ NFPROTO_INET, "inet" }, { NFPROTO_BRIDGE, "bridge" },
	{ NFPROTO_NETDEV, "netdev" },
};

const struct nft_family *nft_family(uint8_t nf)
{
	for (size_t i = 0; i < NFT_FAMILIES; i++)
		if (nft_families[i].nf == nf)
			return &nft_families[i];
	return NULL;
}

const struct nft_family *nft_family_named(const char *name)
{
	for (size_t i = 0; i < NFT_FAMILIES; i++)
		if (streq(nft_families[i].name, name))
			return &nft_families[i];
	return NULL;
}

struct nl_msg *nft_request(int type, uint8_t family)
{
	struct nfgenmsg g = { .nfgen_family = family,
			      .version = NFNETLINK_V0 };
	struct nl_msg *msg = nlmsg_alloc_simple(NFNL_SUBSYS_NFTABLES << 8 |
						type, 0);

	if (!msg || nlmsg_append(msg, &g, sizeof(g), NLMSG_ALIGNTO) < 0)
		abort();
	return msg;
}

bool nft_parse(struct nlmsghdr *h, int type, struct nlattr **a, int max)
{
	return h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type) &&
	       nlmsg_parse(h, sizeof(struct nfgenmsg), a, max, NULL) == 0;
}

bool nft_named(struct nlattr *a, const char *name)
{
	return a && streq(nla_get_string(a), name);
}
