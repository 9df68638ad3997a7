#include "fw.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nft.h"
#include "spawn.h"

#define HELPER_TIMEOUT 20

const char *fw_backend(const struct model *m)
{
	_cleanup_free_ char *nft = NULL, *ipt = NULL;

	switch (m->firewall) {
	case FW_NONE:
		return "none";
	case FW_NFTABLES:
		return "nftables";
	case FW_IPTABLES:
		return "iptables";
	case FW_AUTO:
		break;
	}
	nft = spawn_find("nft");
	ipt = spawn_find("iptables-restore");
	return nft ? "nftables" : ipt ? "iptables" : "none";
}

/* ---- nftables: asked over netlink, no process -------------------------- */

static const uint8_t nft_families[] = { NFPROTO_INET, NFPROTO_BRIDGE,
					NFPROTO_NETDEV };

struct digest {
	const char *table;
	const char *chain;	/* only this one, if not NULL */
	uint64_t chains, rules, elements;
	bool found;
	struct list sets;
};

static uint64_t fnv_attr(uint64_t h, struct nlattr *a)
{
	return a ? fnv64(h, nla_data(a), nla_len(a)) : fnv64(h, "-", 1);
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

static bool named(struct nlattr *a, const char *name)
{
	return a && streq(nla_get_string(a), name);
}

static void on_chain(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct digest *d = arg;

	if (!nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) ||
	    !named(a[NFTA_CHAIN_TABLE], d->table) ||
	    (d->chain && !named(a[NFTA_CHAIN_NAME], d->chain)))
		return;
	d->found = true;
	d->chains += fnv_attr(fnv_attr(fnv_attr(1, a[NFTA_CHAIN_NAME]),
				       a[NFTA_CHAIN_HOOK]),
			      a[NFTA_CHAIN_POLICY]);
}

/* Rules count by content and order; a counter's value does not. */
static void on_rule(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1], *e;
	struct digest *d = arg;
	int left;

	if (!nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) ||
	    !named(a[NFTA_RULE_TABLE], d->table) ||
	    (d->chain && !named(a[NFTA_RULE_CHAIN], d->chain)))
		return;
	d->found = true;
	d->rules = fnv_attr(d->rules, a[NFTA_RULE_CHAIN]);
	if (!a[NFTA_RULE_EXPRESSIONS])
		return;
	nla_for_each_nested(e, a[NFTA_RULE_EXPRESSIONS], left) {
		struct nlattr *x[NFTA_EXPR_MAX + 1];

		if (nla_parse_nested(x, NFTA_EXPR_MAX, e, NULL) < 0)
			continue;
		d->rules = fnv_attr(d->rules, x[NFTA_EXPR_NAME]);
		if (!named(x[NFTA_EXPR_NAME], "counter"))
			d->rules = fnv_attr(d->rules, x[NFTA_EXPR_DATA]);
	}
}

static void on_set(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_MAX + 1];
	struct digest *d = arg;

	if (!nft_parse(h, NFT_MSG_NEWSET, a, NFTA_SET_MAX) ||
	    !named(a[NFTA_SET_TABLE], d->table) || !a[NFTA_SET_NAME])
		return;
	d->found = true;
	/* what packets fill is no matter of ours */
	if (!a[NFTA_SET_FLAGS] || !(ntohl(nla_get_u32(a[NFTA_SET_FLAGS])) &
				    (NFT_SET_TIMEOUT | NFT_SET_EVAL)))
		list_add(&d->sets, nla_get_string(a[NFTA_SET_NAME]),
			 (struct src){ 0 });
}

/* Elements come in no order: their hashes are added up. */
static void on_element(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_ELEM_LIST_MAX + 1], *e;
	struct digest *d = arg;
	int left;

	if (!nft_parse(h, NFT_MSG_NEWSETELEM, a, NFTA_SET_ELEM_LIST_MAX) ||
	    !a[NFTA_SET_ELEM_LIST_ELEMENTS])
		return;
	nla_for_each_nested(e, a[NFTA_SET_ELEM_LIST_ELEMENTS], left) {
		struct nlattr *x[NFTA_SET_ELEM_MAX + 1];

		if (nla_parse_nested(x, NFTA_SET_ELEM_MAX, e, NULL) == 0)
			d->elements += fnv_attr(fnv_attr(
				fnv_attr(1, a[NFTA_SET_ELEM_LIST_SET]),
				x[NFTA_SET_ELEM_KEY]), x[NFTA_SET_ELEM_DATA]);
	}
}

static int digest_family(struct nlx *nl, uint8_t family, struct digest *d)
{
	struct nl_msg *msg;
	int rc;

	rc = nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, family), on_chain,
		      NULL, d);
	msg = nft_request(NFT_MSG_GETRULE, family);
	nla_put_string(msg, NFTA_RULE_TABLE, d->table);
	if (rc == 0)
		rc = nlx_dump(nl, msg, on_rule, NULL, d);
	else
		nlmsg_free(msg);
	msg = nft_request(NFT_MSG_GETSET, family);
	nla_put_string(msg, NFTA_SET_TABLE, d->table);
	if (rc == 0)
		rc = nlx_dump(nl, msg, on_set, NULL, d);
	else
		nlmsg_free(msg);
	for (size_t i = 0; rc == 0 && i < d->sets.n; i++) {
		msg = nft_request(NFT_MSG_GETSETELEM, family);
		nla_put_string(msg, NFTA_SET_ELEM_LIST_TABLE, d->table);
		nla_put_string(msg, NFTA_SET_ELEM_LIST_SET,
			       d->sets.v[i].text);
		rc = nlx_dump(nl, msg, on_element, NULL, d);
	}
	list_free(&d->sets);
	return rc == -ENOENT ? 0 : rc;
}

/* Our chains in iptables-nft's tables: the checksum rule, and the accept in
 * Docker's place. (Those of iptables-legacy are not seen here, nor missed.) */
static const struct {
	const char *table;
	char suffix;
} helpers[] = { { "mangle", 'm' }, { "filter", 'c' } };

struct helper_seen {
	const char *chain;
	bool jump, place;
};

static void on_docker_user(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1];
	struct helper_seen *s = arg;

	if (!nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) ||
	    !named(a[NFTA_RULE_CHAIN], "DOCKER-USER"))
		return;
	s->place = true;
	if (a[NFTA_RULE_EXPRESSIONS])
		s->jump |= memmem(nla_data(a[NFTA_RULE_EXPRESSIONS]),
				  nla_len(a[NFTA_RULE_EXPRESSIONS]), s->chain,
				  strlen(s->chain) + 1) != NULL;
}

static void on_docker_chain(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct helper_seen *s = arg;

	if (nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) &&
	    named(a[NFTA_CHAIN_NAME], "DOCKER-USER"))
		s->place = true;
}

/* A digest of them; 0 if there is none, or if they are part of the iptables
 * backend's rules (which has a chain in filter's FORWARD always). */
static uint64_t helper_digest(struct nlx *nl, const char *bridge)
{
	_cleanup_free_ char *forward = xasprintf("netbr-%s-f", bridge);
	struct digest whole = { .table = "filter", .chain = forward };
	uint64_t h = 0;

	nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_IPV4), on_chain,
		 NULL, &whole);
	if (whole.found)
		return 0;

	for (size_t i = 0; i < N_ELEMENTS(helpers); i++) {
		_cleanup_free_ char *chain = xasprintf("netbr-%s-%c", bridge,
						       helpers[i].suffix);
		struct nl_msg *msg = nft_request(NFT_MSG_GETRULE,
						 NFPROTO_IPV4);
		struct digest d = { .table = helpers[i].table,
				    .chain = chain };
		struct helper_seen seen = { .chain = chain };

		nla_put_string(msg, NFTA_RULE_TABLE, helpers[i].table);
		nlx_dump(nl, msg, on_rule, NULL, &d);
		if (!d.found)
			continue;
		h = fnv64(h + 1, &d.rules, 8);
		if (helpers[i].suffix != 'c')
			continue;
		nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_IPV4),
			 on_docker_chain, NULL, &seen);
		nlx_dump(nl, nft_request(NFT_MSG_GETRULE, NFPROTO_IPV4),
			 on_docker_user, NULL, &seen);
		h = fnv64(h, seen.place && !seen.jump ? "-" : "+", 1);
	}
	return h;
}

static char *nft_digest(const char *bridge)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct digest d;
	bool found = false, asked = true;
	uint64_t h = 1, helper;
	struct nlx nl;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return NULL;
	for (size_t i = 0; i < N_ELEMENTS(nft_families); i++) {
		int rc = -1;

		/* a dump that breaks off is asked again from the start */
		for (int tries = 0; rc && tries < 4; tries++) {
			d = (struct digest){ .table = table };
			rc = digest_family(&nl, nft_families[i], &d);
		}
		asked &= rc == 0 || rc == -EOPNOTSUPP || rc == -EAFNOSUPPORT;
		found |= d.found;
		h = fnv64(fnv64(fnv64(h, &d.chains, 8), &d.rules, 8), &d.elements,
			8);
	}
	helper = helper_digest(&nl, bridge);
	if (helper)
		h = fnv64(h, &helper, 8);
	found |= helper;
	nlx_shut(&nl);
	/* "could not ask" is never "absent": load or remove, to be sure */
	if (!asked)
		return xstrdup("unknown");
	return found ? xasprintf("%016llx", (unsigned long long)h) : NULL;
}

/* nft's name for a family that we have tables in; NULL for another. */
static const char *our_family(uint8_t nf)
{
	return nf == NFPROTO_INET ? "inet" : nf == NFPROTO_BRIDGE ? "bridge" :
	       nf == NFPROTO_NETDEV ? "netdev" : NULL;
}

struct tables {
	const char *name;
	struct buf text;	/* commands that delete those found */
};

static void on_table(struct nlmsghdr *h, void *arg)
{
	struct nfgenmsg *g = nlmsg_data(h);
	struct nlattr *a[NFTA_TABLE_MAX + 1];
	struct tables *t = arg;
	const char *family;

	if (!nft_parse(h, NFT_MSG_NEWTABLE, a, NFTA_TABLE_MAX) ||
	    !named(a[NFTA_TABLE_NAME], t->name))
		return;
	family = our_family(g->nfgen_family);
	if (family)
		buf_printf(&t->text, "delete table %s %s\n", family, t->name);
}

static void on_our_table(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_TABLE_MAX + 1];
	struct tables *t = arg;

	if (nft_parse(h, NFT_MSG_NEWTABLE, a, NFTA_TABLE_MAX) &&
	    named(a[NFTA_TABLE_NAME], t->name))
		buf_puts(&t->text, "yes");
}

static bool nft_has_table(const char *bridge, uint8_t family)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct tables t = { .name = table };
	bool found;
	struct nlx nl;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return false;
	nlx_dump(&nl, nft_request(NFT_MSG_GETTABLE, family), on_our_table,
		 NULL, &t);
	nlx_shut(&nl);
	found = t.text.len;
	buf_free(&t.text);
	return found;
}

static char *nft_removal(const char *bridge)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct tables t = { .name = table };
	struct nlx nl;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return NULL;
	nlx_dump(&nl, nft_request(NFT_MSG_GETTABLE, NFPROTO_UNSPEC), on_table,
		 NULL, &t);
	nlx_shut(&nl);
	return t.text.s;
}

/* ---- helpers ---------------------------------------------------------- */

static int run_helper(const char *const argv[], const char *input, char **why)
{
	_cleanup_buf_ struct buf err = { 0 };
	int rc = spawn_run(argv, input, strlen(input), &err, &err,
			   HELPER_TIMEOUT);

	if (rc == 0)
		return 0;
	if (rc == -ENOENT)
		*why = xasprintf("%s is not installed", argv[0]);
	else if (rc == -ETIMEDOUT)
		*why = xasprintf("%s did not end within %d seconds", argv[0],
				 HELPER_TIMEOUT);
	else
		*why = xasprintf("%s: %.*s", argv[0],
				 (int)strcspn(buf_str(&err), "\n"),
				 buf_str(&err));
	return rc < 0 ? rc : -EINVAL;
}

/* ---- iptables: asked with its own save program -------------------------- */

/* The three programs of the family, with the nft family that each uses. */
enum ipt { IPT_4, IPT_6, IPT_EB };
#define IPT_COUNT (IPT_EB + 1)
static const struct {
	const char *save, *restore, *family;
	uint8_t nf;
} ipts[IPT_COUNT] = {
	{ "iptables-save", "iptables-restore", "ip", NFPROTO_IPV4 },
	{ "ip6tables-save", "ip6tables-restore", "ip6", NFPROTO_IPV6 },
	{ "ebtables-save", "ebtables-restore", "bridge", NFPROTO_BRIDGE },
};

static const char *const ipt_tables[] = { "filter", "nat", "mangle" };

/* Docker's own place for the rules of others; there while Docker runs. */
#define DOCKER_USER "DOCKER-USER"

/* hook NULL: a chain that only our others jump to. */
static const struct {
	const char *table, *hook;
	char suffix;
	bool eb;
} jumps[] = {
	{ "filter", "FORWARD", 'f', false },
	{ "nat", "POSTROUTING", 'n', false },
	{ "nat", "PREROUTING", 'd', false },
	{ "nat", "OUTPUT", 't', false },
	{ "mangle", "POSTROUTING", 'm', false },
	{ "filter", DOCKER_USER, 'c', false },
	{ "nat", "PREROUTING", 'e', true },
	{ "nat", NULL, 'o', true },
	{ "nat", "PREROUTING", 'i', true },
	{ "nat", "POSTROUTING", 's', true },
};

static int ipt_save(enum ipt ipt, struct buf *out, char **why)
{
	const char *const argv[] = { ipts[ipt].save, NULL };
	_cleanup_buf_ struct buf err = { 0 };
	int rc = spawn_run(argv, "", 0, out, &err, HELPER_TIMEOUT);

	if (rc != 0 && why)
		*why = xasprintf("%s: %s", argv[0], rc < 0 ? strerror(-rc) :
				 buf_str(&err));
	return rc > 0 ? -EINVAL : rc;
}

/* Does the line speak of one of our chains (whole word)? */
static bool line_has(const char *line, size_t len, const char *chain)
{
	size_t n = strlen(chain);
	const char *p = line, *end = line + len;

	while ((p = memmem(p, end - p, chain, n))) {
		bool begins = p > line && (p[-1] == ' ' || p[-1] == ':');

		p += n;
		if (begins && (p == end || *p == ' '))
			return true;
	}
	return false;
}

static bool our_line(const char *line, size_t len, const char *bridge)
{
	for (size_t i = 0; i < N_ELEMENTS(jumps); i++) {
		_cleanup_free_ char *chain = xasprintf("netbr-%s-%c", bridge,
						       jumps[i].suffix);

		if (line_has(line, len, chain))
			return true;
	}
	return false;
}

static void hash_saved(const char *text, const char *bridge, uint64_t *h,
		       bool *found)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (our_line(text, len, bridge)) {
			*found = true;
			/* ":chain - [1:2]" without its counters */
			*h = fnv64(*h, text, *text == ':' ?
				 strcspn(text, "[\n") : len);
		}
		text += len + (text[len] == '\n');
	}
}

static char *ipt_digest(const char *bridge)
{
	bool found = false;
	uint64_t h = 1;

	for (enum ipt i = 0; i < IPT_COUNT; i++) {
		_cleanup_buf_ struct buf b = { 0 };

		if (ipt_save(i, &b, NULL) == 0)
			hash_saved(buf_str(&b), bridge, &h, &found);
	}
	return found ? xasprintf("%016llx", (unsigned long long)h) : NULL;
}

/* Which of our jumps and chains does a table have now? */
static void find_jump(const char *saved, size_t i, const char *bridge,
		      bool *jump, bool *chain)
{
	_cleanup_free_ char *table = xasprintf("*%s\n", jumps[i].table);
	_cleanup_free_ char *j = xasprintf("\n-A %s -j netbr-%s-%c\n",
					   jumps[i].hook ? jumps[i].hook : "-",
					   bridge, jumps[i].suffix);
	_cleanup_free_ char *c = xasprintf("\n:netbr-%s-%c ", bridge,
					   jumps[i].suffix);
	const char *beg = strstr(saved, table), *end;
	_cleanup_free_ char *part = NULL;

	*jump = *chain = false;
	if (!beg)
		return;
	end = strstr(beg, "\nCOMMIT");
	part = xstrndup(beg, end ? (size_t)(end - beg) + 1 : strlen(beg));
	*jump = strstr(part, j);
	*chain = strstr(part, c);
}

/* Has the text so far made our chain of this suffix? */
static bool declares(char suffix, const char *bridge, const struct buf *out)
{
	_cleanup_free_ char *line = xasprintf("\n:netbr-%s-%c ", bridge,
					      suffix);
	const char *table = NULL;

	/* since the last table began */
	for (const char *p = buf_str(out); (p = strstr(p, "\n*")); p++)
		table = p;
	return strstr(table ? table : buf_str(out), line);
}

/* Our chains as rendered, and before each COMMIT the jumps that are not there
 * yet: one commit for both. */
static void add_jumps(enum ipt ipt, const char *text, const char *saved,
		      const char *bridge, struct buf *out)
{
	char table[32] = "";

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (*text == '*' && len < sizeof(table)) {
			memcpy(table, text + 1, len - 1);
			table[len - 1] = '\0';
		}
		for (size_t i = 0; str_begins(text, "COMMIT") &&
		     i < N_ELEMENTS(jumps); i++) {
			bool jump, chain;

			if (jumps[i].eb != (ipt == IPT_EB) || !jumps[i].hook ||
			    !streq(jumps[i].table, table) ||
			    !declares(jumps[i].suffix, bridge, out))
				continue;
			find_jump(saved, i, bridge, &jump, &chain);
			if (streq(jumps[i].hook, DOCKER_USER) &&
			    !strstr(saved, "\n:" DOCKER_USER " "))
				continue;
			if (!jump)
				buf_printf(out, "-I %s -j netbr-%s-%c\n",
					   jumps[i].hook, bridge,
					   jumps[i].suffix);
		}
		buf_add(out, text, len);
		buf_puts(out, "\n");
		text += len + (text[len] == '\n');
	}
}

/* Jumps first, then the chains: all of them are emptied before one goes,
 * since ours jump to each other. */
static void removal_lines(enum ipt ipt, const char *saved, const char *bridge,
			  struct buf *out)
{
	for (size_t t = 0; t < N_ELEMENTS(ipt_tables); t++) {
		_cleanup_buf_ struct buf jumps_text = { 0 }, flush = { 0 },
					 gone = { 0 };

		for (size_t i = 0; i < N_ELEMENTS(jumps); i++) {
			bool jump, chain;

			if (jumps[i].eb != (ipt == IPT_EB) ||
			    !streq(jumps[i].table, ipt_tables[t]))
				continue;
			find_jump(saved, i, bridge, &jump, &chain);
			if (jump)
				buf_printf(&jumps_text,
					   "-D %s -j netbr-%s-%c\n",
					   jumps[i].hook, bridge,
					   jumps[i].suffix);
			if (chain) {
				buf_printf(&flush, "-F netbr-%s-%c\n", bridge,
					   jumps[i].suffix);
				buf_printf(&gone, "-X netbr-%s-%c\n", bridge,
					   jumps[i].suffix);
			}
		}
		if (jumps_text.len || flush.len)
			buf_printf(out, "*%s\n%s%s%sCOMMIT\n", ipt_tables[t],
				   buf_str(&jumps_text), buf_str(&flush),
				   buf_str(&gone));
	}
}

/* ---- tables that iptables-nft makes for itself --------------------------- */

/* iptables-restore makes the tables it needs. Those that were not there
 * before are noted here, and go again when they are empty. */
#define MADE_TABLES "/run/netbr/made-tables"

struct table_state {
	const char *name;
	bool exists, used;
	int rc;			/* < 0: could not ask */
};

static void on_named_table(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_TABLE_MAX + 1];
	struct table_state *t = arg;

	if (nft_parse(h, NFT_MSG_NEWTABLE, a, NFTA_TABLE_MAX) &&
	    named(a[NFTA_TABLE_NAME], t->name))
		t->exists = true;
}

/* Used: it has a rule, or a chain that is no base chain. */
static void on_named_chain(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct table_state *t = arg;

	if (nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) &&
	    named(a[NFTA_CHAIN_TABLE], t->name) && !a[NFTA_CHAIN_HOOK])
		t->used = true;
}

static void on_named_rule(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1];
	struct table_state *t = arg;

	if (nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) &&
	    named(a[NFTA_RULE_TABLE], t->name))
		t->used = true;
}

static struct table_state table_state(uint8_t family, const char *name)
{
	struct table_state t = { .name = name };
	struct nlx nl;

	t.rc = nlx_open(&nl, NETLINK_NETFILTER);
	if (t.rc < 0)
		return t;
	t.rc = nlx_dump(&nl, nft_request(NFT_MSG_GETTABLE, family),
			on_named_table, NULL, &t);
	if (t.rc == 0)
		t.rc = nlx_dump(&nl, nft_request(NFT_MSG_GETCHAIN, family),
				on_named_chain, NULL, &t);
	if (t.rc == 0)
		t.rc = nlx_dump(&nl, nft_request(NFT_MSG_GETRULE, family),
				on_named_rule, NULL, &t);
	nlx_shut(&nl);
	return t;
}

/* Before the load, so that a death in between leaves no table behind. */
static int note_made(enum ipt ipt, const char *text)
{
	_cleanup_file_ FILE *f = NULL;

	for (size_t i = 0; i < N_ELEMENTS(ipt_tables); i++) {
		_cleanup_free_ char *head = xasprintf("*%s\n",
						      ipt_tables[i]);
		struct table_state t;

		if (!strstr(text, head))
			continue;
		t = table_state(ipts[ipt].nf, ipt_tables[i]);
		if (t.rc < 0)
			return t.rc;
		if (t.exists)
			continue;
		if (!f && !(f = fopen(MADE_TABLES, "ae")))
			return -errno;
		fprintf(f, "%s %s\n", ipts[ipt].family, ipt_tables[i]);
	}
	return f && fflush(f) != 0 ? -errno : 0;
}

static void remove_made(void)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	_cleanup_buf_ struct buf text = { 0 }, keep = { 0 }, del = { 0 };
	_cleanup_free_ char *why = NULL;
	char *save = NULL, *line;
	FILE *f;

	if (buf_read_file(&text, MADE_TABLES, 65536) < 0 || !text.len)
		return;
	for (line = strtok_r(text.s, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *name = strchr(line, ' ');
		struct table_state t = { 0 };

		if (!name)
			continue;
		for (enum ipt i = 0; i < IPT_COUNT; i++)
			if (str_begins(line, ipts[i].family) &&
			    line + strlen(ipts[i].family) == name)
				t = table_state(ipts[i].nf, name + 1);

		if (t.rc == 0 && t.exists && !t.used)
			buf_printf(&del, "delete table %s\n", line);
		else if (t.rc < 0 || t.exists)
			buf_printf(&keep, "%s\n", line);
	}
	if (del.len && run_helper(argv, del.s, &why) < 0)
		return;	/* empty tables: no harm, and noted still */
	f = keep.len ? fopen(MADE_TABLES, "we") : NULL;
	if (f) {
		fputs(keep.s, f);
		fclose(f);
	} else {
		remove(MADE_TABLES);
	}
}

static int ipt_load_one(enum ipt ipt, const char *bridge, const char *text,
			char **why)
{
	const char *const argv[] = { ipts[ipt].restore, "--noflush", NULL };
	_cleanup_buf_ struct buf saved = { 0 }, in = { 0 };
	int rc = ipt_save(ipt, &saved, why);

	if (rc < 0)
		return rc;
	if (*text)
		add_jumps(ipt, text, buf_str(&saved), bridge, &in);
	else
		removal_lines(ipt, buf_str(&saved), bridge, &in);
	if (*text)
		rc = note_made(ipt, in.s);
	if (rc < 0)
		return rc;
	rc = in.len ? run_helper(argv, in.s, why) : 0;
	if (rc < 0 && ipt == IPT_EB && *why) {
		char *more = xasprintf("%s (a kernel needs "
				       "CONFIG_BRIDGE_NF_EBTABLES with its "
				       "tables and matches, for macnat "
				       "CONFIG_BRIDGE_EBT_DNAT and _SNAT too)",
				       *why);

		free(*why);
		*why = more;
	}
	if (!*text || rc < 0)
		remove_made();
	return rc;
}

/* What a whole text says for one of the programs; caller frees. */
static char *ipt_part(const char *text, enum ipt ipt)
{
	static const char *const marks[] = { "", FW_IP6_MARK, FW_EB_MARK };
	const char *beg = strstr(text, marks[ipt]);
	const char *end = NULL;

	if (!beg)
		return xstrdup("");
	beg += strlen(marks[ipt]);
	if (ipt < IPT_EB)
		end = strstr(beg, marks[ipt + 1]);
	return end ? xstrndup(beg, end - beg) : xstrdup(beg);
}

static int ipt_load(const char *bridge, const char *text, char **why)
{
	for (enum ipt i = 0; i < IPT_COUNT; i++) {
		_cleanup_free_ char *part = ipt_part(text, i);
		_cleanup_free_ char *program = spawn_find(ipts[i].restore);
		int rc;

		/* without ebtables there is nothing of it to remove */
		if (i == IPT_EB && !program && !*part)
			continue;
		rc = ipt_load_one(i, bridge, part, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- nftables, with iptables' help for one rule -------------------------- */

/* Helper rules are there, or iptables-legacy (which only its own
 * program can see) is in use. */
static bool may_have_helpers(const char *bridge)
{
	struct nlx nl;
	bool found;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return false;
	found = helper_digest(&nl, bridge);
	nlx_shut(&nl);
	return found || access(MADE_TABLES, F_OK) == 0 ||
	       access("/proc/net/ip_tables_names", F_OK) == 0;
}

struct chains {
	const char *table, *text;	/* what is about to be loaded */
	struct buf flush, base, other;
};

/* Chains that a text of another mode made. */
static void on_leftover(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct nfgenmsg *g = nlmsg_data(h);
	struct chains *c = arg;
	_cleanup_free_ char *name = NULL, *made = NULL;

	if (!nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) ||
	    !named(a[NFTA_CHAIN_TABLE], c->table) || !a[NFTA_CHAIN_NAME])
		return;
	name = xasprintf("%s %s %s", our_family(g->nfgen_family), c->table,
			 nla_get_string(a[NFTA_CHAIN_NAME]));
	made = xasprintf("\nadd chain %s", name);
	for (const char *p = c->text; (p = strstr(p, made)); p++)
		if (p[strlen(made)] == ' ' || p[strlen(made)] == '\n')
			return;
	buf_printf(&c->flush, "flush chain %s\n", name);
	buf_printf(a[NFTA_CHAIN_HOOK] ? &c->base : &c->other,
		   "delete chain %s\n", name);
}

/* The text, and before and after it what removes what it no longer has:
 * whole tables, single chains. Sets stay; nothing looks into them. */
static char *with_leftovers(const char *bridge, const char *text)
{
	static const struct {
		uint8_t nf;
		const char *made;
	} families[] = {
		{ NFPROTO_BRIDGE, "\nadd table bridge " },
		{ NFPROTO_NETDEV, "\nadd table netdev " },
		{ NFPROTO_INET, "add table inet " },
	};
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct chains c = { .table = table, .text = text };
	_cleanup_buf_ struct buf before = { 0 };
	struct nlx nl;
	char *all;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return xstrdup(text);
	for (size_t i = 0; i < N_ELEMENTS(families); i++) {
		if (strstr(text, families[i].made))
			nlx_dump(&nl, nft_request(NFT_MSG_GETCHAIN,
						  families[i].nf),
				 on_leftover, NULL, &c);
		else if (nft_has_table(bridge, families[i].nf))
			buf_printf(&before, "delete table %s %s\n",
				   our_family(families[i].nf), table);
	}
	nlx_shut(&nl);
	all = xasprintf("%s%s%s%s%s", buf_str(&before), text,
			buf_str(&c.flush), buf_str(&c.base),
			buf_str(&c.other));
	buf_free(&c.flush);
	buf_free(&c.base);
	buf_free(&c.other);
	return all;
}

static int nft_load(const char *bridge, const char *text, char **why)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	const char *mark = strstr(text, FW_CSUM_MARK);
	_cleanup_free_ char *nft = xstrndup(text, mark ? (size_t)(mark - text) :
					    strlen(text));
	_cleanup_free_ char *ipt = spawn_find("iptables-restore");
	_cleanup_free_ char *ignored = NULL;
	int rc = 0;

	if (!*text) {
		free(nft);
		nft = nft_removal(bridge);
	} else {
		char *with = with_leftovers(bridge, nft);

		free(nft);
		nft = with;
	}
	if (nft)
		rc = run_helper(argv, nft, why);
	if (rc < 0 || !ipt)
		return rc;
	if (mark)
		rc = ipt_load_one(IPT_4, bridge, mark + strlen(FW_CSUM_MARK),
				  &ignored);
	else if (may_have_helpers(bridge))
		rc = ipt_load_one(IPT_4, bridge, "", why);
	if (mark && rc < 0)
		msg_warn("iptables' part was not loaded (DHCP replies may "
			 "reach offloading guests without a checksum): %s",
			 ignored ? ignored : strerror(-rc));
	return mark ? 0 : rc;
}

/* ---- firewalld ------------------------------------------------------------ */

/* It shows what it does in a table of its own: "in" if the bridge is in one of
 * its zones, "out" if not, NULL if firewalld is not there. */
static char *firewalld_digest(const char *bridge)
{
	struct tables t = { .name = "firewalld" };
	struct nlx nl;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return NULL;
	nlx_dump(&nl, nft_request(NFT_MSG_GETTABLE, NFPROTO_INET),
		 on_our_table, NULL, &t);
	nlx_shut(&nl);
	if (!t.text.len)
		return NULL;
	buf_free(&t.text);
	return xstrdup(fw_table_names(NULL, "firewalld", bridge) ? "in" :
		       "out");
}

static int firewalld_load(const char *bridge, bool in, char **why)
{
	_cleanup_free_ char *what = xasprintf("--%s-interface=%s", in ? "add" :
					      "remove", bridge);
	const char *const argv[] = { "firewall-cmd", "-q", "--zone=trusted",
				     what, NULL };

	return run_helper(argv, "", why);
}

/* ---- both ------------------------------------------------------------- */

char *fw_digest(const char *backend, const char *bridge)
{
	if (geteuid() != 0)
		return NULL;	/* it may not be asked; session.c says so */
	if (streq(backend, "firewalld"))
		return firewalld_digest(bridge);
	if (streq(backend, "nftables"))
		return nft_digest(bridge);
	if (streq(backend, "iptables"))
		return ipt_digest(bridge);
	return NULL;
}

int fw_load(const char *backend, const char *bridge, const char *text,
	    char **why)
{
	if (streq(backend, "firewalld"))
		return firewalld_load(bridge, *text, why);
	if (streq(backend, "nftables"))
		return nft_load(bridge, text, why);
	if (streq(backend, "iptables"))
		return ipt_load(bridge, text, why);
	return 0;
}

/* Docker drops what is forwarded, also between the ports of a bridge where
 * bridge-nf-call-iptables is set: the one accept that it leaves a place for. */
static void add_docker_part(const struct bridge *b, struct buf *out)
{
	if (!list_has(&b->coexist, "docker"))
		return;
	buf_printf(out, "*filter\n:netbr-%s-c - [0:0]\n", b->name);
	if (bridge_routes(b))
		buf_printf(out, "-A netbr-%s-c -i %s -j ACCEPT\n"
			   "-A netbr-%s-c -o %s -j ACCEPT\n", b->name, b->name,
			   b->name, b->name);
	else
		buf_printf(out, "-A netbr-%s-c -i %s -o %s -j ACCEPT\n",
			   b->name, b->name, b->name);
	buf_puts(out, "COMMIT\n");
}

/* What only iptables can do, or what must stand in its tables. */
static void add_iptables_part(const struct bridge *b, struct buf *out)
{
	bool dhcp = b->dhcp.present && b->dhcp.server != SERVER_NONE;

	if (dhcp || list_has(&b->coexist, "docker"))
		buf_puts(out, FW_CSUM_MARK);
	if (dhcp)
		buf_printf(out, "*mangle\n:netbr-%s-m - [0:0]\n"
			   "-A netbr-%s-m -o %s -p udp -m udp --dport 68 -j "
			   "CHECKSUM --checksum-fill\nCOMMIT\n", b->name,
			   b->name, b->name);
	add_docker_part(b, out);
}

int fw_change(const char *commands)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	_cleanup_free_ char *why = NULL;

	return *commands ? run_helper(argv, commands, &why) : 0;
}

static bool any_filtered(const struct model *m, const struct bridge *b)
{
	for (size_t i = 0; i < m->n_guests; i++)
		if (m->guests[i]->bridge == b && guest_filtered(m->guests[i]))
			return true;
	return false;
}

/* Rules that send to a device hold its number: another device of the same
 * name needs them anew. */
static void add_device(const struct bridge *b, struct buf *out)
{
	if (bridge_has_veth(b))
		buf_printf(out, "# for device %u\n",
			   if_nametoindex(b->uplink));
}

char *fw_text(const struct model *m, const struct facts *f,
	      const char *backend, const struct bridge *b, const char *root)
{
	struct buf out = { 0 };
	_cleanup_buf_ struct buf v6 = { 0 };

	if (streq(backend, "nftables")) {
		add_device(b, &out);
		if (output_render(m, f, OUT_NFTABLES, b, root, &out) == 0) {
			add_iptables_part(b, &out);
			return out.s;
		}
	} else if (output_render(m, f, OUT_IPTABLES, b, root, &out) == 0 &&
		   output_render(m, f, OUT_IP6TABLES, b, root, &v6) == 0) {
		add_docker_part(b, &out);
		buf_puts(&out, FW_IP6_MARK);
		buf_puts(&out, buf_str(&v6));
		if (!any_filtered(m, b) && bridge_mode(b) != MODE_MACNAT)
			return out.s;
		buf_puts(&out, FW_EB_MARK);
		if (output_render(m, f, OUT_EBTABLES, b, root, &out) == 0)
			return out.s;
	}
	buf_free(&out);
	return NULL;
}

/* ---- other people's chains, for the doctor -------------------------------- */

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
	    !named(a[NFTA_RULE_TABLE], n->table) ||
	    (n->family && g->nfgen_family != n->family) ||
	    (n->chain && !named(a[NFTA_RULE_CHAIN], n->chain)) ||
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
	struct nlx nl;
	bool yes;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return false;
	yes = rule_names(&nl, NFPROTO_UNSPEC, table, chain, ifname);
	nlx_shut(&nl);
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
	    !named(a[NFTA_RULE_TABLE], r->table) ||
	    !named(a[NFTA_RULE_CHAIN], r->chain) || !a[NFTA_RULE_EXPRESSIONS])
		return;
	nla_for_each_nested(e, a[NFTA_RULE_EXPRESSIONS], left) {
		struct nlattr *x[NFTA_EXPR_MAX + 1];

		if (nla_parse_nested(x, NFTA_EXPR_MAX, e, NULL) < 0 ||
		    !x[NFTA_EXPR_NAME])
			continue;
		if (named(x[NFTA_EXPR_NAME], "reject"))
			drops = true;
		else if (named(x[NFTA_EXPR_NAME], "immediate"))
			drops |= verdict_drops(x[NFTA_EXPR_DATA]);
		else if (!named(x[NFTA_EXPR_NAME], "counter") &&
			 !named(x[NFTA_EXPR_NAME], "log") &&
			 !named(x[NFTA_EXPR_NAME], "limit"))
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
	struct nlx nl;

	if (nlx_open(&nl, NETLINK_NETFILTER) < 0)
		return;
	nlx_dump(&nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC),
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
		nlx_dump(&nl, nft_request(NFT_MSG_GETRULE, family),
			 on_last_rule, NULL, &last);
		if ((all.v[i].src.line < 0 || last.drops) &&
		    !rule_names(&nl, family, table, chain, bridge))
			list_add(out, all.v[i].text, all.v[i].src);
	}
	list_free(&all);
	nlx_shut(&nl);
}
