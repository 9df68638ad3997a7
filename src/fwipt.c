/* The iptables backend: iptables, ip6tables and ebtables by their save and
 * restore programs. */
#include "fwipt.h"

#include <errno.h>
#include <stdint.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fw.h"
#include "fwdigest.h"
#include "nft.h"
#include "spawn.h"

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
	/* walls: where no ACCEPT of anybody's comes first */
	{ "mangle", "FORWARD", 'w', false },
	{ "mangle", NULL, 'q', false },
	{ "mangle", NULL, 'g', false },
	{ "mangle", NULL, 'h', false },
	{ "mangle", "PREROUTING", 'p', false },
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
	int rc = spawn_run(argv, "", 0, out, &err, 20);

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

char *ipt_digest(const char *bridge)
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
	    nft_named(a[NFTA_TABLE_NAME], t->name))
		t->exists = true;
}

/* Used: it has a rule, or a chain that is no base chain. */
static void on_named_chain(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_CHAIN_MAX + 1];
	struct table_state *t = arg;

	if (nft_parse(h, NFT_MSG_NEWCHAIN, a, NFTA_CHAIN_MAX) &&
	    nft_named(a[NFTA_CHAIN_TABLE], t->name) && !a[NFTA_CHAIN_HOOK])
		t->used = true;
}

static void on_named_rule(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_RULE_MAX + 1];
	struct table_state *t = arg;

	if (nft_parse(h, NFT_MSG_NEWRULE, a, NFTA_RULE_MAX) &&
	    nft_named(a[NFTA_RULE_TABLE], t->name))
		t->used = true;
}

static struct table_state table_state(uint8_t family, const char *name)
{
	struct table_state t = { .name = name };
	struct nlx *nl = nft_socket();

	t.rc = -ENOMEM;
	if (!nl)
		return t;
	t.rc = nlx_dump(nl, nft_request(NFT_MSG_GETTABLE, family),
			on_named_table, NULL, &t);
	if (t.rc == 0)
		t.rc = nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN, family),
				on_named_chain, NULL, &t);
	if (t.rc == 0)
		t.rc = nlx_dump(nl, nft_request(NFT_MSG_GETRULE, family),
				on_named_rule, NULL, &t);
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
	if (del.len && spawn_helper(argv, del.s, &why) < 0)
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
	rc = in.len ? spawn_helper(argv, in.s, why) : 0;
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

int ipt_load(const char *bridge, const char *text, char **why)
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

int ipt_load_helpers(const char *bridge, const char *text, char **why)
{
	return ipt_load_one(IPT_4, bridge, text, why);
}

bool ipt_may_have_helpers(const char *bridge)
{
	uint64_t digest;

	/* if that can't be told, they may be there */
	return fwdigest_helpers(bridge, &digest) < 0 || digest ||
	       access(MADE_TABLES, F_OK) == 0 ||
	       access("/proc/net/ip_tables_names", F_OK) == 0;
}
