/* proxyarp: guests have addresses of the LAN, and the host routes between the
 * two, answering each side's questions for the other (proxy ARP, and proxy
 * neighbour discovery). */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

static void proxy_sysctls(const struct plan_input *in, struct plan *p,
			  const struct bridge *b)
{
	bool missing = !plan_link(in, b->name);
	const struct {
		const char *fmt, *link, *value;
		bool ours;	/* the link is: nothing to remember */
	} knobs[] = {
		{ "net/ipv4/conf/%s/proxy_arp", b->name, "1", true },
		{ "net/ipv4/neigh/%s/proxy_delay", b->name, "0", true },
		{ "net/ipv4/neigh/%s/proxy_delay", b->uplink, "0", false },
		{ "net/ipv6/conf/%s/proxy_ndp", b->uplink, "1", false },
		{ "net/ipv6/neigh/%s/proxy_delay", b->uplink, "0", false },
	};

	for (size_t i = 0; i < N_ELEMENTS(knobs); i++) {
		const char *at = strstr(knobs[i].fmt, "%s");
		_cleanup_free_ char *path = xasprintf(
			"%.*s%s%s", (int)(at - knobs[i].fmt), knobs[i].fmt,
			knobs[i].link, at + 2);

		if (str_begins(path, "net/ipv6/") &&
		    !bridge_carries(b, AF_INET6))
			continue;
		plan_sysctl(in, p, b->name, path, knobs[i].value,
			    !knobs[i].ours, knobs[i].ours && missing);
	}
}

static bool has_proxy(const struct plan_input *in, int index,
		      const struct ip *ip)
{
	for (size_t i = 0; i < in->k->n_proxies; i++)
		if (in->k->proxies[i].index == index &&
		    ip_equal(&in->k->proxies[i].ip, ip))
			return true;
	return false;
}

/* The uplink answers for an address, or no longer. */
static void plan_proxy(struct plan *p, const char *bridge, const char *uplink,
		       const struct ip *ip, bool on)
{
	char text[IP_TEXT];
	struct op *op = plan_add(p, OP_PROXY, on ? CLASS_CREATE : CLASS_DELETE,
				 bridge, uplink, on ? "let %s answer for %s" :
				 "let %s no longer answer for %s", uplink,
				 ip_format(ip, text));
	struct op *undo = op_new(OP_PROXY, uplink);

	op_drift(op, "proxy neighbour", on ? text : "absent",
		 on ? "absent" : text);
	op->neigh.ip = undo->neigh.ip = *ip;
	op->hold = on;
	undo->hold = !on;
	op->may_fail = !on;
	undo->may_fail = on;
	op_add_undo(op, undo);
}

static bool has_host_route(const struct plan_input *in, int index,
			   const struct ip *ip)
{
	for (size_t i = 0; index && i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];

		if (r->oif == index && r->family == ip->family &&
		    r->dst.plen == ip_bits(ip) && r->type == RTN_UNICAST &&
		    r->table == RT_TABLE_MAIN && ip_equal(&r->dst.ip, ip))
			return true;
	}
	return false;
}

/* The host's own address of the guest's subnet, as the host's source. */
static const struct ip *host_source(const struct plan_input *in, int uplink,
				    const struct ip *guest)
{
	for (size_t i = 0; i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];

		if (a->index == uplink && a->c.ip.family == guest->family &&
		    cidr_has(&a->c, guest))
			return &a->c.ip;
	}
	return NULL;
}

static void plan_host_route(const struct plan_input *in, struct plan *p,
			    const struct bridge *b, const struct ip *ip,
			    int uplink)
{
	const struct klink *l = plan_link(in, b->name);
	const struct ip *source = host_source(in, uplink, ip);
	struct op *op, *undo;
	char text[IP_TEXT];

	if (has_host_route(in, l ? l->index : 0, ip))
		return;
	op = plan_add(p, OP_ROUTE_ADD, CLASS_CREATE, b->name, b->name,
		      "add route %s dev %s", ip_format(ip, text), b->name);
	op_drift(op, "route", text, "absent");
	op->route.dst = (struct cidr){ .ip = *ip, .plen = ip_bits(ip) };
	if (source)
		op->route.source = *source;
	undo = op_new(OP_ROUTE_DEL, b->name);
	undo->route = op->route;
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* "x ADDRESS LINK" in the record: a proxy entry of ours. */
static void note_proxy(struct saved_bridge *sb, const struct ip *ip,
		       const char *uplink)
{
	_cleanup_free_ char *note = NULL;
	char text[IP_TEXT];

	note = xasprintf("%s %s", ip_format(ip, text), uplink);
	saved_add_note(sb, 'x', note);
}

void plan_proxies(const struct plan_input *in, struct plan *p,
		  const struct bridge *b)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	const struct klink *up = b->uplink ? plan_link(in, b->uplink) : NULL;

	bool proxy = bridge_mode(b) == MODE_PROXYARP;

	/* macnat with host = uplink needs the routes alone */
	if (!up || (!proxy && (bridge_mode(b) != MODE_MACNAT ||
			       b->host != HOST_UPLINK)))
		return;
	if (proxy)
		proxy_sysctls(in, p, b);
	for (size_t i = 0; i < in->m->n_guests; i++) {
		const struct guest *g = in->m->guests[i];

		for (size_t k = 0; g->bridge == b && k < g->ip.n; k++) {
			const struct ip *ip = &g->ip.v[k].cidr.ip;

			note_proxy(sb, ip, b->uplink);
			plan_host_route(in, p, b, ip, up->index);
			if (proxy && !has_proxy(in, up->index, ip))
				plan_proxy(p, b->name, b->uplink, ip, true);
		}
	}
}

/* Notes of `before` that `now` (may be NULL) has not. */
void plan_old_proxies(const struct plan_input *in, struct plan *p,
		      const char *bridge, const struct saved_bridge *before,
		      const struct saved_bridge *now)
{
	const struct klink *l = plan_link(in, bridge);

	for (size_t i = 0; before && i < before->n_added; i++) {
		const char *note = before->added[i];
		char text[IP_TEXT];
		const struct klink *up;
		struct ip ip;

		if (note[0] != 'x' || (now && saved_has_note(now, 'x',
							     note + 2)))
			continue;
		snprintf(text, sizeof(text), "%.*s",
			 (int)strcspn(note + 2, " "), note + 2);
		up = plan_link(in, note + 2 + strcspn(note + 2, " ") + 1);
		if (!ip_parse(text, &ip))
			continue;
		if (up && has_proxy(in, up->index, &ip))
			plan_proxy(p, bridge, up->name, &ip, false);
		/* with the bridge its routes go anyway */
		if (now && l && has_host_route(in, l->index, &ip)) {
			struct op *op = plan_add(p, OP_ROUTE_DEL, CLASS_DELETE,
						 bridge, bridge, "remove route "
						 "%s from %s", text, bridge);
			struct op *undo = op_new(OP_ROUTE_ADD, bridge);

			op->route.dst = (struct cidr){ .ip = ip,
						       .plen = ip_bits(&ip) };
			op->may_fail = true;
			undo->route = op->route;
			op_add_undo(op, undo);
		}
	}
}
