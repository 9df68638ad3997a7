/* What is loaded of ours, as one number: asked over netlink, no process. */
#include "fwdigest.h"

#include <arpa/inet.h>
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

#include "nft.h"
#include "util.h"

/* A set, and the sum of its elements' hashes: they come in no order. */
struct set_sum {
	char *name;
	uint64_t sum;
	bool stale;		/* this process has changed it */
};

struct digest {
	const char *table;
	const char *chain;	/* only this one, if not NULL */
	uint64_t chains, rules;
	bool found;
	struct set_sum *sets;
	size_t n_sets;
};

/* What was read of a bridge's rules. Only what this process changes is read
 * again; what somebody else does meanwhile, the next run finds. */
struct known {
	char bridge[IFNAMSIZ];
	bool complete;
	struct digest families[NFT_FAMILIES];
	uint64_t helper;
	struct known *next;
};

static struct known *all_known;

static uint64_t fnv_attr(uint64_t h, struct nlattr *a)
{
	return a ? fnv64(h, nla_data(a), nla_len(a)) : fnv64(h, "-", 1);
}

static void on_chain(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct digest *d = arg;

	if (!nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) ||
	    !nft_named(a[NFTA_CHAIN_TABLE], d->table) ||
	    (d->chain && !nft_named(a[NFTA_CHAIN_NAME], d->chain)))
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
	    !nft_named(a[NFTA_RULE_TABLE], d->table) ||
	    (d->chain && !nft_named(a[NFTA_RULE_CHAIN], d->chain)))
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
		if (!nft_named(x[NFTA_EXPR_NAME], "counter"))
			d->rules = fnv_attr(d->rules, x[NFTA_EXPR_DATA]);
	}
}

static void on_set(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_MAX + 1];
	struct digest *d = arg;

	if (!nft_parse(h, NFT_MSG_NEWSET, a, NFTA_SET_MAX) ||
	    !nft_named(a[NFTA_SET_TABLE], d->table) || !a[NFTA_SET_NAME])
		return;
	d->found = true;
	/* what packets fill is no matter of ours */
	if (a[NFTA_SET_FLAGS] && (ntohl(nla_get_u32(a[NFTA_SET_FLAGS])) &
				  (NFT_SET_TIMEOUT | NFT_SET_EVAL)))
		return;
	ARRAY_GROW(d->sets, d->n_sets);
	d->sets[d->n_sets++] = (struct set_sum){
		.name = xstrdup(nla_get_string(a[NFTA_SET_NAME])),
		.stale = true,
	};
}

static void on_element(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_SET_ELEM_LIST_MAX + 1], *e;
	struct set_sum *s = arg;
	int left;

	if (!nft_parse(h, NFT_MSG_NEWSETELEM, a, NFTA_SET_ELEM_LIST_MAX) ||
	    !a[NFTA_SET_ELEM_LIST_ELEMENTS])
		return;
	nla_for_each_nested(e, a[NFTA_SET_ELEM_LIST_ELEMENTS], left) {
		struct nlattr *x[NFTA_SET_ELEM_MAX + 1];

		if (nla_parse_nested(x, NFTA_SET_ELEM_MAX, e, NULL) == 0)
			s->sum += fnv_attr(fnv_attr(
				fnv_attr(1, a[NFTA_SET_ELEM_LIST_SET]),
				x[NFTA_SET_ELEM_KEY]), x[NFTA_SET_ELEM_DATA]);
	}
}

static void forget_sum(void *arg)
{
	((struct set_sum *)arg)->sum = 0;
}

static int read_set(struct nlx *nl, uint8_t nf, const char *table,
		    struct set_sum *s)
{
	struct nl_msg *msg = nft_request(NFT_MSG_GETSETELEM, nf);
	int rc;

	nla_put_string(msg, NFTA_SET_ELEM_LIST_TABLE, table);
	nla_put_string(msg, NFTA_SET_ELEM_LIST_SET, s->name);
	s->sum = 0;
	rc = nlx_dump(nl, msg, on_element, forget_sum, s);
	s->stale = rc < 0;
	return rc;
}

/* A dump that is asked for again begins anew. */
static void forget_chains(void *arg)
{
	((struct digest *)arg)->chains = 0;
}

static void forget_rules(void *arg)
{
	((struct digest *)arg)->rules = 0;
}

static void forget_sets(void *arg)
{
	struct digest *d = arg;

	for (size_t i = 0; i < d->n_sets; i++)
		free(d->sets[i].name);
	free(d->sets);
	d->sets = NULL;
	d->n_sets = 0;
}

/* One dump of what a table has of a kind. */
static int dump_table(struct nlx *nl, int type, uint8_t nf, int attr,
		      nlx_dump_fn fn, void (*again)(void *arg),
		      struct digest *d)
{
	struct nl_msg *msg = nft_request(type, nf);

	nla_put_string(msg, attr, d->table);
	return nlx_dump(nl, msg, fn, again, d);
}

static void digest_free(struct digest *d)
{
	forget_sets(d);
	*d = (struct digest){ .table = d->table, .chain = d->chain };
}

static int read_family(struct nlx *nl, uint8_t nf, struct digest *d)
{
	int rc = nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, nf), on_chain,
			  forget_chains, d);

	if (rc == 0)
		rc = dump_table(nl, NFT_MSG_GETRULE, nf, NFTA_RULE_TABLE,
				on_rule, forget_rules, d);
	if (rc == 0)
		rc = dump_table(nl, NFT_MSG_GETSET, nf, NFTA_SET_TABLE, on_set,
				forget_sets, d);
	for (size_t i = 0; rc == 0 && i < d->n_sets; i++)
		rc = read_set(nl, nf, d->table, &d->sets[i]);
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
	    !nft_named(a[NFTA_RULE_CHAIN], "DOCKER-USER"))
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
	    nft_named(a[NFTA_CHAIN_NAME], "DOCKER-USER"))
		s->place = true;
}

/* A digest of them; 0 if there is none, or if they are part of the iptables
 * backend's rules (which has a chain in filter's FORWARD always). */
int fwdigest_helpers(const char *bridge, uint64_t *out)
{
	_cleanup_free_ char *forward = xasprintf("netbr-%s-f", bridge);
	struct nlx *nl = nft_socket();
	struct digest whole = { .table = "filter", .chain = forward };
	uint64_t h = 0;
	int rc = nl ? nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_IPV4),
			       on_chain, NULL, &whole) : -ENOMEM;

	*out = 0;
	for (size_t i = 0; rc == 0 && !whole.found &&
	     i < N_ELEMENTS(helpers); i++) {
		_cleanup_free_ char *chain = xasprintf("netbr-%s-%c", bridge,
						       helpers[i].suffix);
		struct digest d = { .table = helpers[i].table,
				    .chain = chain };
		struct helper_seen seen = { .chain = chain };

		rc = dump_table(nl, NFT_MSG_GETRULE, NFPROTO_IPV4,
				NFTA_RULE_TABLE, on_rule, forget_rules, &d);
		if (rc == -ENOENT)
			rc = 0;		/* no such table */
		if (rc < 0 || !d.found)
			continue;
		h = fnv64(h + 1, &d.rules, 8);
		if (helpers[i].suffix != 'c')
			continue;
		rc = nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, NFPROTO_IPV4),
			      on_docker_chain, NULL, &seen);
		if (rc == 0)
			rc = nlx_dump(nl, nft_request(NFT_MSG_GETRULE,
						      NFPROTO_IPV4),
				      on_docker_user, NULL, &seen);
		h = fnv64(h, seen.place && !seen.jump ? "-" : "+", 1);
	}
	*out = h;
	return rc == -EOPNOTSUPP || rc == -EAFNOSUPPORT ? 0 : rc;
}

/* ---- what is known ----------------------------------------------------- */

static struct known *get_known(const char *bridge, bool make)
{
	struct known *k;

	for (k = all_known; k; k = k->next)
		if (streq(k->bridge, bridge))
			return k;
	if (!make)
		return NULL;
	k = xcalloc(1, sizeof(*k));
	str_put(k->bridge, sizeof(k->bridge), bridge);
	k->next = all_known;
	return all_known = k;
}

void fwdigest_forget(const char *bridge)
{
	struct known *k = get_known(bridge, false);

	if (k)
		k->complete = false;
}

void fwdigest_changed(const char *bridge, const char *commands)
{
	struct known *k = get_known(bridge, false);
	char family[16], set[64];

	for (const char *p = commands; k && *p;) {
		size_t len = strcspn(p, "\n");

		if (sscanf(p, "%*s element %15s %*s %63s", family, set) != 2)
			k->complete = false;
		for (size_t f = 0; f < NFT_FAMILIES; f++) {
			struct digest *d = &k->families[f];

			for (size_t i = 0; i < d->n_sets; i++)
				d->sets[i].stale |= streq(nft_families[f].name,
							  family) &&
						    streq(d->sets[i].name,
							  set);
		}
		p += len + (p[len] == '\n');
	}
}

void fwdigest_free(void)
{
	while (all_known) {
		struct known *k = all_known;

		all_known = k->next;
		for (size_t f = 0; f < NFT_FAMILIES; f++)
			digest_free(&k->families[f]);
		free(k);
	}
}

/* Reads what is not known yet; false if something could not be asked for. */
static bool read_known(struct nlx *nl, struct known *k, const char *table)
{
	bool asked = true;

	for (size_t f = 0; f < NFT_FAMILIES; f++) {
		struct digest *d = &k->families[f];
		int rc = -1;

		d->table = table;
		for (size_t i = 0; k->complete && i < d->n_sets; i++)
			if (d->sets[i].stale)
				asked &= read_set(nl, nft_families[f].nf, table,
						  &d->sets[i]) == 0;
		/* a dump that breaks off is asked again from the start */
		for (int tries = 0; !k->complete && rc && tries < 4; tries++) {
			digest_free(d);
			rc = read_family(nl, nft_families[f].nf, d);
		}
		asked &= k->complete || rc == 0 || rc == -EOPNOTSUPP ||
			 rc == -EAFNOSUPPORT;
		d->table = NULL;
	}
	if (!k->complete)
		asked &= fwdigest_helpers(k->bridge, &k->helper) == 0;
	return k->complete = asked;
}

char *fwdigest_nft(const char *bridge)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct known *k = get_known(bridge, true);
	struct nlx *nl = nft_socket();
	bool found = false;
	uint64_t h = 1;

	if (!nl)
		return NULL;
	/* "could not ask" is never "absent": load or remove, to be sure */
	if (!read_known(nl, k, table))
		return xstrdup("unknown");
	for (size_t f = 0; f < NFT_FAMILIES; f++) {
		struct digest *d = &k->families[f];
		uint64_t elements = 0;

		for (size_t i = 0; i < d->n_sets; i++)
			elements += d->sets[i].sum;
		found |= d->found;
		h = fnv64(fnv64(fnv64(h, &d->chains, 8), &d->rules, 8),
			  &elements, 8);
	}
	if (k->helper)
		h = fnv64(h, &k->helper, 8);
	return found || k->helper ? xasprintf("%016llx",
					      (unsigned long long)h) : NULL;
}
