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
#include <unistd.h>

#include "fwdigest.h"
#include "fwipt.h"
#include "nft.h"
#include "nftelem.h"
#include "spawn.h"

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

struct tables {
	const char *name;
	struct buf text;	/* commands that delete those found */
};

static void on_table(struct nlmsghdr *h, void *arg)
{
	struct nfgenmsg *g = nlmsg_data(h);
	struct nlattr *a[NFTA_TABLE_MAX + 1];
	struct tables *t = arg;
	const struct nft_family *family;

	if (!nft_parse(h, NFT_MSG_NEWTABLE, a, NFTA_TABLE_MAX) ||
	    !nft_named(a[NFTA_TABLE_NAME], t->name))
		return;
	family = nft_family(g->nfgen_family);
	if (family)
		buf_printf(&t->text, "delete table %s %s\n", family->name,
			   t->name);
}

static void on_our_table(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[NFTA_TABLE_MAX + 1];
	struct tables *t = arg;

	if (nft_parse(h, NFT_MSG_NEWTABLE, a, NFTA_TABLE_MAX) &&
	    nft_named(a[NFTA_TABLE_NAME], t->name))
		buf_puts(&t->text, "yes");
}

static bool nft_has_table(const char *bridge, uint8_t family)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct tables t = { .name = table };
	bool found;
	struct nlx *nl = nft_socket();

	if (!nl)
		return false;
	nlx_dump(nl, nft_request(NFT_MSG_GETTABLE, family), on_our_table,
		 NULL, &t);
	found = t.text.len;
	buf_free(&t.text);
	return found;
}

static char *nft_removal(const char *bridge)
{
	_cleanup_free_ char *table = xasprintf("netbr-%s", bridge);
	struct tables t = { .name = table };
	struct nlx *nl = nft_socket();

	if (!nl)
		return NULL;
	nlx_dump(nl, nft_request(NFT_MSG_GETTABLE, NFPROTO_UNSPEC), on_table,
		 NULL, &t);
	return t.text.s;
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
	    !nft_named(a[NFTA_CHAIN_TABLE], c->table) || !a[NFTA_CHAIN_NAME])
		return;
	name = xasprintf("%s %s %s", nft_family(g->nfgen_family)->name, c->table,
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
	struct nlx *nl = nft_socket();
	char *all;

	if (!nl)
		return xstrdup(text);
	for (size_t i = 0; i < N_ELEMENTS(families); i++) {
		if (strstr(text, families[i].made))
			nlx_dump(nl, nft_request(NFT_MSG_GETCHAIN,
						  families[i].nf),
				 on_leftover, NULL, &c);
		else if (nft_has_table(bridge, families[i].nf))
			buf_printf(&before, "delete table %s %s\n",
				   nft_family(families[i].nf)->name, table);
	}
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
		rc = spawn_helper(argv, nft, why);
	if (rc < 0 || !ipt)
		return rc;
	if (mark)
		rc = ipt_load_helpers(bridge, mark + strlen(FW_CSUM_MARK),
				  &ignored);
	else if (ipt_may_have_helpers(bridge))
		rc = ipt_load_helpers(bridge, "", why);
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
	struct nlx *nl = nft_socket();

	if (!nl)
		return NULL;
	nlx_dump(nl, nft_request(NFT_MSG_GETTABLE, NFPROTO_INET),
		 on_our_table, NULL, &t);
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

	return spawn_helper(argv, "", why);
}

/* ---- both ------------------------------------------------------------- */

char *fw_digest(const char *backend, const char *bridge)
{
	if (geteuid() != 0)
		return NULL;	/* it may not be asked; session.c says so */
	if (streq(backend, "firewalld"))
		return firewalld_digest(bridge);
	if (streq(backend, "nftables"))
		return fwdigest_nft(bridge);
	if (streq(backend, "iptables"))
		return ipt_digest(bridge);
	return NULL;
}

int fw_load(const char *backend, const char *bridge, const char *text,
	    char **why)
{
	fwdigest_forget(bridge);
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

int fw_change(const char *bridge, const char *commands)
{
	static const char *const argv[] = { "nft", "-f", "-", NULL };
	_cleanup_free_ char *why = NULL;
	int rc = *commands ? nft_elements(commands) : 0;

	if (rc < 0)
		rc = spawn_helper(argv, commands, &why);
	if (rc < 0)
		fwdigest_forget(bridge);
	else
		fwdigest_changed(bridge, commands);
	return rc;
}

void fw_end(void)
{
	fwdigest_free();
	nft_close();
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

