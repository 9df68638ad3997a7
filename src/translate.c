#include "translate.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "diag.h"
#include "nft.h"
#include "spawn.h"

struct reading {
	struct translations *t;
	bool learned;
};

/* NFTA_DATA_VALUE of an element's key or data; false if its length differs. */
static bool value(struct nlattr *a, void *out, int len)
{
	struct nlattr *d[NFTA_DATA_MAX + 1];

	if (!a || nla_parse_nested(d, NFTA_DATA_MAX, a, NULL) < 0 ||
	    !d[NFTA_DATA_VALUE] || nla_len(d[NFTA_DATA_VALUE]) < len)
		return false;
	memcpy(out, nla_data(d[NFTA_DATA_VALUE]), len);
	return true;
}

/* Milliseconds, as a big-endian number of 64 bits. */
static uint64_t milliseconds(struct nlattr *a)
{
	return a ? be64toh(nla_get_u64(a)) : 0;
}

static void on_element(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_ELEM_LIST_MAX + 1], *e;
	struct reading *r = arg;
	int left;

	if (!nft_parse(h, NFT_MSG_NEWSETELEM, a, NFTA_SET_ELEM_LIST_MAX) ||
	    !a[NFTA_SET_ELEM_LIST_ELEMENTS])
		return;
	nla_for_each_nested(e, a[NFTA_SET_ELEM_LIST_ELEMENTS], left) {
		struct nlattr *x[NFTA_SET_ELEM_MAX + 1], *k[NFTA_DATA_MAX + 1];
		struct translation t = { .learned = r->learned };
		uint64_t whole, rest;
		bool v4;

		if (nla_parse_nested(x, NFTA_SET_ELEM_MAX, e, NULL) < 0 ||
		    !x[NFTA_SET_ELEM_KEY] ||
		    nla_parse_nested(k, NFTA_DATA_MAX, x[NFTA_SET_ELEM_KEY],
				     NULL) < 0 || !k[NFTA_DATA_VALUE])
			continue;
		v4 = nla_len(k[NFTA_DATA_VALUE]) == 4;
		t.ip.family = v4 ? AF_INET : AF_INET6;
		whole = milliseconds(x[NFTA_SET_ELEM_TIMEOUT]);
		rest = milliseconds(x[NFTA_SET_ELEM_EXPIRATION]);
		t.age_s = whole > rest ? (whole - rest) / 1000 : 0;
		if (!value(x[NFTA_SET_ELEM_KEY], t.ip.b, v4 ? 4 : 16) ||
		    !value(x[NFTA_SET_ELEM_DATA], t.mac.b, 6))
			continue;
		ARRAY_GROW(r->t->v, r->t->n);
		r->t->v[r->t->n++] = t;
	}
}

void translations_load(struct translations *t, const char *bridge)
{
	static const uint8_t families[] = { NFPROTO_NETDEV, NFPROTO_BRIDGE };
	static const char *const maps[] = { "static4", "static6", "learned4",
					    "learned6" };
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct nlx *nl = nft_socket();

	*t = (struct translations){ 0 };
	if (!nl)
		return;
	for (size_t i = 0; i < 2 * N_ELEMENTS(maps); i++) {
		const char *map = maps[i / 2];
		struct nl_msg *msg = nft_request(NFT_MSG_GETSETELEM,
						 families[i % 2]);
		struct reading r = { t, str_begins(map, "learned") };

		nla_put_string(msg, NFTA_SET_ELEM_LIST_TABLE, table);
		nla_put_string(msg, NFTA_SET_ELEM_LIST_SET, map);
		nlx_dump(nl, msg, on_element, NULL, &r);
	}
}

/* ---- what the kernel lacks ------------------------------------------------ */

static bool takes(const char *rules)
{
	static const char *const argv[] = { "nft", "-c", "-f", "-", NULL };
	_cleanup_buf_ struct buf ignored = { 0 };

	return spawn_run(argv, rules, strlen(rules), &ignored, &ignored, 20) ==
	       0;
}

#define CHAIN "table netdev netbr-probe { chain c { type filter hook " \
	      "ingress device lo priority 0; %s; }; }\n"

#define EGRESS "table netdev netbr-probe { chain e { type filter hook " \
	       "egress device lo priority 0; dup to lo; }; }\n"

char *translation_missing(bool host_uplink)
{
	static const struct {
		const char *rule, *option;
	} parts[] = {
		{ "accept", "CONFIG_NF_TABLES_NETDEV and "
			    "CONFIG_NETFILTER_INGRESS" },
		{ "fwd to lo", "CONFIG_NFT_FWD_NETDEV" },
		{ "ether type ip fib daddr type local accept",
		  "CONFIG_NFT_FIB_NETDEV" },
		{ "dup to lo", "CONFIG_NFT_DUP_NETDEV" },
	};
	_cleanup_free_ char *all = xasprintf(
		CHAIN "%s", "ether type ip fib daddr type local fwd to lo",
		host_uplink ? EGRESS : "");

	if (takes(all))
		return NULL;
	for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
		_cleanup_free_ char *one = xasprintf(CHAIN, parts[i].rule);

		if (!takes(one))
			return xstrdup(parts[i].option);
	}
	return xstrdup(host_uplink ? "CONFIG_NETFILTER_EGRESS" :
		       "nftables' netdev family");
}

bool kernel_names_bridges(const char *root)
{
	static const char yes[] = "meta ibrname: yes\n",
			  no[] = "meta ibrname: no\n";
	_cleanup_free_ char *path = path_join(root, "/run/netbr/kernel");
	_cleanup_buf_ struct buf known = { 0 };
	bool can;

	if (buf_read_file(&known, path, 4096) == 0) {
		if (streq(buf_str(&known), yes))
			return true;
		if (streq(buf_str(&known), no))
			return false;
	}
	can = takes("table bridge netbr-probe { chain c { "
		    "meta ibrname br0 accept; }; }\n");
	if (file_replace(path, can ? yes : no) < 0)
		msg_debug("%s can't be written", path);
	return can;
}
