/* What serves a bridge: its own dnsmasq, and the DHCP client that its uplink
 * brings along. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

/* ---- dnsmasq ---------------------------------------------------------- */

static struct op *dns_op(struct plan *p, enum op_class class,
			 const char *bridge, enum dns_action action,
			 const char *words)
{
	struct op *op = plan_add(p, OP_DNSMASQ, class, bridge, bridge, "%s",
				 words);

	op->dns = action;
	return op;
}

static void dns_undo(struct op *op, enum dns_action action)
{
	struct op *undo = op_new(OP_DNSMASQ, op->object);

	str_put(undo->bridge, sizeof(undo->bridge), op->bridge);
	undo->dns = action;
	op_add_undo(op, undo);
}

static void plan_dns_start(struct plan *p, const char *bridge)
{
	_cleanup_free_ char *words = xasprintf("start dnsmasq on %s", bridge);
	struct op *op = dns_op(p, CLASS_CREATE, bridge, DNS_START, words);

	op_drift(op, "dnsmasq", "running", "stopped");
	dns_undo(op, DNS_STOP);
}

static void plan_dns_change(struct plan *p, const char *bridge, bool restart)
{
	_cleanup_free_ char *words = restart ?
		xasprintf("start dnsmasq on %s anew: its settings changed, "
			  "not only reservations", bridge) :
		xasprintf("have dnsmasq on %s read its reservations (SIGHUP)",
			  bridge);
	enum dns_action action = restart ? DNS_RESTART : DNS_RELOAD;
	struct op *op = dns_op(p, restart ? CLASS_INTERRUPTS : CLASS_SET,
			       bridge, action, words);

	op_drift(op, restart ? "dnsmasq settings" : "dnsmasq reservations",
		 "as in its files", "older");
	dns_undo(op, action);
}

void plan_dns_stop(const struct plan_input *in, struct plan *p,
		   const char *bridge)
{
	struct saved_bridge *sb = state_bridge(in->st, bridge);
	_cleanup_free_ char *words = xasprintf("stop dnsmasq on %s", bridge);
	struct op *op;

	if (in->dns_runs && in->dns_runs(in->arg, bridge)) {
		op = dns_op(p, CLASS_DELETE, bridge, DNS_STOP, words);
		op_drift(op, "dnsmasq", "stopped", "running");
		dns_undo(op, DNS_START);
	}
	if (sb)
		sb->dns_conf = sb->dns_hosts = 0;
}

/* A lease on an address that is now reserved for somebody else: dnsmasq would
 * go on keeping it for who has it. Exactly that one goes. */
static void plan_leases(const struct plan_input *in, struct plan *p,
			const struct bridge *b)
{
	const struct cidr *own = bridge_address(b, AF_INET);
	struct leases l = { 0 };

	if (own && in->leases)
		in->leases(in->arg, b->name, &l);
	for (size_t i = 0; i < l.n; i++) {
		const struct guest *g = lease_blocks(&l.v[i], in->m, b);
		char ip[IP_TEXT], mac[MAC_TEXT];
		struct op *op;

		if (!g)
			continue;
		ip_format(&l.v[i].ip, ip);
		mac_format(&l.v[i].mac, mac);
		op = plan_add(p, OP_LEASE, CLASS_DELETE, b->name, b->name,
			      "release %s, leased to %s, for guest %s", ip,
			      mac, g->name);
		op_drift(op, "lease", "free for its guest", mac);
		op->server = own->ip;
		op->lease = l.v[i].ip;
	}
	leases_free(&l);
}

void plan_dnsmasq(const struct plan_input *in, struct plan *p,
		  const struct bridge *b)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	uint64_t conf, hosts;

	if (!in->dns_runs)
		return;
	if (!b->dhcp.present || b->dhcp.server != SERVER_OWN) {
		plan_dns_stop(in, p, b->name);
		return;
	}
	if (!in->dns_files(in->arg, b->name, &conf, &hosts)) {
		plan_warn(p, "%s: /etc/dnsmasq.d/netbr-%s.conf is missing: "
			  "'netbr-gen write' makes it, until then nobody "
			  "serves its guests", b->name, b->name);
		return;
	}
	if (!in->dns_runs(in->arg, b->name))
		plan_dns_start(p, b->name);
	else if (sb->dns_conf != conf)
		plan_dns_change(p, b->name, true);
	else if (sb->dns_hosts != hosts)
		plan_dns_change(p, b->name, false);
	if (in->dns_runs(in->arg, b->name))
		plan_leases(in, p, b);
	sb->dns_conf = conf;
	sb->dns_hosts = hosts;
}

/* ---- the uplink's DHCP client ------------------------------------------ */

static struct op *client_op(enum op_kind kind, const char *link, int pid,
			    const char *argv)
{
	struct op *op = op_new(kind, link);

	op->pid = pid;
	op->argv = argv ? xstrdup(argv) : NULL;
	op->may_fail = true;
	return op;
}

static const char *first_line(const char *argv, char *out, size_t size)
{
	const char *base;

	snprintf(out, size, "%.*s", (int)strcspn(argv, "\n"), argv);
	base = strrchr(out, '/');
	return base ? base + 1 : out;
}

/* Left alone, it would put the address back on the uplink at its next
 * renewal, and the bridge would lose it. */
void plan_client_stop(const struct plan_input *in, struct plan *p,
		      const struct bridge *b)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	_cleanup_free_ char *argv = NULL;
	char name[64];
	struct op *op;
	int pid = in->dhcp_client ? in->dhcp_client(in->arg, b->uplink,
						    &argv) : 0;

	if (pid < 0)
		plan_warn(p, "a dhcpcd serves every interface: add "
			  "'denyinterfaces %s' to /etc/dhcpcd.conf, or it "
			  "will take the address back", b->uplink);
	if (pid <= 0)
		return;
	if (!b->address_dhcp && !b->address.n)
		plan_warn(p, "%s has its address by DHCP, and nobody will "
			  "renew it: say address = dhcp", b->uplink);
	op = plan_add(p, OP_CLIENT_STOP, CLASS_SET, b->name, b->uplink,
		      "end %s on %s, keeping the lease",
		      first_line(argv, name, sizeof(name)), b->uplink);
	op->pid = pid;
	op_drift(op, "DHCP client", "none", name);
	op_add_undo(op, client_op(OP_CLIENT_START, b->uplink, 0, argv));
	free(sb->client);
	sb->client = steal(&argv);
}

void plan_client_start(const struct plan_input *in, struct plan *p,
		       const char *bridge, const char *uplink)
{
	struct saved_bridge *sb = state_bridge(in->st, bridge);
	char name[64];
	struct op *op;

	if (!sb || !sb->client)
		return;
	op = plan_add(p, OP_CLIENT_START, CLASS_CREATE, bridge, uplink,
		      "start %s on %s again",
		      first_line(sb->client, name, sizeof(name)), uplink);
	op->argv = steal(&sb->client);
}
