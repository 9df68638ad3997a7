/* Other people's chains and tables, for the doctor. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

#include "fw.h"
#include "nft.h"

struct naming {
	const char *table, *chain, *ifname;
	uint8_t family;		/* 0: any */
	bool found;
};

/* Interface names stand in rules and elements as text with its final NUL. */
static void on_naming(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1];
	struct nfgenmsg *g = nlmsg_data(h);
	struct naming *n = arg;

	if (!nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) ||
	    !nft_named(a[NFTA_RULE_TABLE], n->table) ||
	    (n->family && g->nfgen_family != n->family) ||
	    (n->chain && !nft_named(a[NFTA_RULE_CHAIN], n->chain)) ||
	    !a[NFTA_RULE_EXPRESSIONS])
		return;
	n->found |= memmem(nla_data(a[NFTA_RULE_EXPRESSIONS]),
			   nla_len(a[NFTA_RULE_EXPRESSIONS]), n->ifname,
			   strlen(n->ifname) + 1) != NULL;
}

static bool rule_names(struct nlx *nl, uint8_t family, const char *table,
		       const char *chain, const char *ifname)
{
	struct naming n = { table, chain, ifname, family, false };

	nlx_dump(nl, nft_request(NFT_MSG_GETRULE, family), on_naming, NULL,
		 &n);
	return n.found;
}

bool fw_table_names(const char *chain, const char *table, const char *ifname)
{
	struct nlx *nl = nft_socket();
	bool yes;

	if (!nl)
		return false;
	yes = rule_names(nl, NFPROTO_UNSPEC, table, chain, ifname);
	return yes;
}

static const char *nf_family_name(uint8_t f)
{
	return f == NFPROTO_INET ? "inet" : f == NFPROTO_IPV4 ? "ip" :
	       f == NFPROTO_IPV6 ? "ip6" : NULL;
}

/* NFTA_EXPR_DATA of an immediate: NFTA_IMMEDIATE_DATA / NFTA_DATA_VERDICT /
 * NFTA_VERDICT_CODE. */
static bool verdict_drops(struct nlattr *data)
{
	struct nlattr *i[NFTA_IMMEDIATE_MAX + 1], *d[NFTA_DATA_MAX + 1],
		      *v[NFTA_VERDICT_MAX + 1];

	return data && nla_parse_nested(i, NFTA_IMMEDIATE_MAX, data, NULL) ==
	       0 && i[NFTA_IMMEDIATE_DATA] &&
	       nla_parse_nested(d, NFTA_DATA_MAX, i[NFTA_IMMEDIATE_DATA],
				NULL) == 0 && d[NFTA_DATA_VERDICT] &&
	       nla_parse_nested(v, NFTA_VERDICT_MAX, d[NFTA_DATA_VERDICT],
				NULL) == 0 && v[NFTA_VERDICT_CODE] &&
	       ntohl(nla_get_u32(v[NFTA_VERDICT_CODE])) == NF_DROP;
}

struct last_rule {
	const char *table, *chain;
	uint8_t family;
	bool drops;
};

/* Is this rule nothing but a drop or a reject? The last one seen counts. */
static void on_last_rule(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1], *e;
	struct nfgenmsg *g = nlmsg_data(h);
	struct last_rule *r = arg;
	bool bare = true, drops = false;
	int left;

	if (!nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) ||
	    g->nfgen_family != r->family ||
	    !nft_named(a[NFTA_RULE_TABLE], r->table) ||
	    !nft_named(a[NFTA_RULE_CHAIN], r->chain) || !a[NFTA_RULE_EXPRESSIONS])
		return;
	nla_for_each_nested(e, a[NFTA_RULE_EXPRESSIONS], left) {
		struct nlattr *x[NFTA_EXPR_MAX + 1];

		if (nla_parse_nested(x, NFTA_EXPR_MAX, e, NULL) < 0 ||
		    !x[NFTA_EXPR_NAME])
			continue;
		if (nft_named(x[NFTA_EXPR_NAME], "reject"))
			drops = true;
		else if (nft_named(x[NFTA_EXPR_NAME], "immediate"))
			drops |= verdict_drops(x[NFTA_EXPR_DATA]);
		else if (!nft_named(x[NFTA_EXPR_NAME], "counter") &&
			 !nft_named(x[NFTA_EXPR_NAME], "log") &&
			 !nft_named(x[NFTA_EXPR_NAME], "limit"))
			bare = false;
	}
	r->drops = bare && drops;
}

/* Forward base chains of others. linux/netfilter/nf_tables.h: policy 0 is
 * drop. */
static void on_dropping(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1], *k[NFTA_HOOK_MAX + 1];
	struct nfgenmsg *g = nlmsg_data(h);
	_cleanup_free_ char *text = NULL;

	if (!nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) ||
	    !nf_family_name(g->nfgen_family) || !a[NFTA_CHAIN_HOOK] ||
	    !a[NFTA_CHAIN_POLICY] ||
	    nla_parse_nested(k, NFTA_HOOK_MAX, a[NFTA_CHAIN_HOOK], NULL) < 0 ||
	    !k[NFTA_HOOK_HOOKNUM] ||
	    ntohl(nla_get_u32(k[NFTA_HOOK_HOOKNUM])) != NF_INET_FORWARD ||
	    str_begins(nla_get_string(a[NFTA_CHAIN_TABLE]), "netbr-"))
		return;
	text = xasprintf("%s %s %s", nf_family_name(g->nfgen_family),
			 nla_get_string(a[NFTA_CHAIN_TABLE]),
			 nla_get_string(a[NFTA_CHAIN_NAME]));
	/* its family, negative if its policy drops */
	list_add(arg, text, (struct src){ .line = ntohl(nla_get_u32(
		a[NFTA_CHAIN_POLICY])) == NF_DROP ? -g->nfgen_family :
		g->nfgen_family });
}

void fw_dropping_chains(const char *bridge, struct list *out)
{
	struct list all = { 0 };
	struct nlx *nl = nft_socket();

	if (!nl)
		return;
	nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC),
		 on_dropping, NULL, &all);
	for (size_t i = 0; i < all.n; i++) {
		_cleanup_free_ char *text = xstrdup(all.v[i].text);
		int family = abs(all.v[i].src.line);
		struct last_rule last = { .family = family };
		char *save, *table, *chain;

		strtok_r(text, " ", &save);
		table = strtok_r(NULL, " ", &save);
		chain = strtok_r(NULL, " ", &save);
		last.table = table;
		last.chain = chain;
		nlx_dump(nl, nft_request(NFT_MSG_GETRULE, family),
			 on_last_rule, NULL, &last);
		if ((all.v[i].src.line < 0 || last.drops) &&
		    !rule_names(nl, family, table, chain, bridge))
			list_add(out, all.v[i].text, all.v[i].src);
	}
	list_free(&all);
}
