/* What the firewall templates may see: whom a bridge filters, whose which
 * address is, who is cut off, which ports are forwarded. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "viewfw.h"

static void set_hex(struct view *v, const char *name, const uint8_t *b,
		    size_t n)
{
	char text[2 * 16 + 3] = "0x";

	hex_encode(b, n, text + 2);
	view_set(v, name, text);
}

static struct view *add_own(struct view *v, const char *list, const char *tap,
			    const char *mac, const struct ip *a)
{
	struct view *e = view_add(v, list);
	char text[IP_TEXT];

	view_set(e, "tap", tap);
	view_set(e, "mac", mac);
	view_set(e, "address", ip_format(a, text));
	set_hex(e, "address_hex", a->b, ip_bits(a) / 8);
	return e;
}

/* Addresses are in one list of all guests, and with their guest. */
static void view_guest(struct view *v, const struct guest *g)
{
	struct view *e = view_add(v, "filtered");
	bool strict4 = guest_ip(g, AF_INET), strict6 = guest_ip(g, AF_INET6);
	struct list_of_ips own6 = guest_own6(g);
	char text[MAC_TEXT];

	view_set(e, "tap", g->tap);
	view_set(e, "mac", mac_format(&g->mac, text));
	set_hex(e, "mac_hex", g->mac.b, 6);
	view_if(e, "strict4", strict4);
	view_if(e, "strict6", strict6);
	view_list(e, "own4");
	for (size_t i = 0; i < g->ip.n; i++)
		if (g->ip.v[i].cidr.ip.family == AF_INET)
			view_share(e, "own4", add_own(v, "own4", g->tap,
						      text,
						      &g->ip.v[i].cidr.ip));
	view_list(e, "own6");
	for (size_t i = 0; i < own6.n; i++)
		view_share(e, "own6", add_own(v, "own6", g->tap, text,
					      &own6.v[i]));
	free(own6.v);
	if (strict4)
		view_set(view_add(v, "strict4"), "tap", g->tap);
	if (strict6)
		view_set(view_add(v, "strict6"), "tap", g->tap);
}

static void add_owned(struct view *v, const struct ip *a)
{
	struct view *e = view_add(v, a->family == AF_INET ? "owned4" :
				  "owned6");
	char text[IP_TEXT];

	view_set(e, "address", ip_format(a, text));
	set_hex(e, "address_hex", a->b, ip_bits(a) / 8);
}

/* Addresses that a guest without any of its own must not take: those of the
 * other guests and the host's. */
static void view_owned(struct view *v, const struct model *m,
		       const struct bridge *b)
{
	for (size_t i = 0; i < b->address.n; i++)
		add_owned(v, &b->address.v[i].cidr.ip);
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		for (size_t k = 0; g->bridge == b && k < g->ip.n; k++)
			add_owned(v, &g->ip.v[k].cidr.ip);
	}
}

static void view_filter(struct view *v, const struct model *m,
			const struct bridge *b, bool *filters)
{
	static const char *const lists[] = { "filtered", "own4", "own6",
					     "strict4", "strict6", "owned4",
					     "owned6" };
	bool any = false, any4 = false, any6 = false;

	for (size_t i = 0; i < N_ELEMENTS(lists); i++)
		view_list(v, lists[i]);
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (g->bridge != b || !guest_filtered(g))
			continue;
		any = true;
		any4 |= guest_ip(g, AF_INET) != NULL;
		any6 |= guest_ip(g, AF_INET6) != NULL;
		view_guest(v, g);
	}
	if (any)
		view_owned(v, m, b);
	view_if(v, "filters", any);
	*filters = any;
	view_if(v, "any_strict4", any4);
	view_if(v, "any_strict6", any6);
	view_if(v, "any_owned4", any && (any4 || bridge_address(b, AF_INET)));
	view_if(v, "any_owned6", any && (any6 || bridge_address(b, AF_INET6)));
}

/* ---- isolation between bridges ------------------------------------------ */

static struct view *add_cut(struct view *v, const char *list,
			    const struct bridge *in, const struct bridge *out)
{
	struct view *e = view_add(v, list);

	view_set(e, "in", in->name);
	view_set(e, "out", out->name);
	return e;
}

static void cut_address(struct view *v, const struct bridge *in,
			const struct bridge *out, const struct ip *a, bool src)
{
	struct view *e = add_cut(v, a->family == AF_INET ? "cuts4" : "cuts6",
				 in, out);
	char text[IP_TEXT];

	view_set(e, "address", ip_format(a, text));
	view_if(e, "is_source", src);
}

/* A guest's addresses, there and back. */
static void cut_addresses(struct view *v, const struct guest *g,
			  const struct bridge *other)
{
	for (size_t k = 0; k < g->ip.n; k++) {
		cut_address(v, g->bridge, other, &g->ip.v[k].cidr.ip, true);
		cut_address(v, other, g->bridge, &g->ip.v[k].cidr.ip, false);
	}
}

/* The isolated guests of one bridge are cut off from another. */
static void cut_guests(struct view *v, const struct model *m,
		       const struct bridge *of, const struct bridge *from)
{
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (g->bridge != of || !g->isolate)
			continue;
		cut_addresses(v, g, from);
		/* whatever address it uses */
		if (g->has_mac) {
			char text[MAC_TEXT];

			view_set(add_cut(v, "cuts_mac", of, from), "mac",
				 mac_format(&g->mac, text));
		}
	}
}

/* A bridge with the LAN behind it is also the others' way out: of it, declared
 * guests alone are cut off. */
static void cut_declared(struct view *v, const struct model *m,
			 const struct bridge *of, const struct bridge *from)
{
	for (size_t i = 0; i < m->n_guests; i++)
		if (m->guests[i]->bridge == of)
			cut_addresses(v, m->guests[i], from);
}

/* A routed bridge and one with the LAN behind it. */
static void cut_lan(struct view *v, const struct model *m,
		    const struct bridge *routed, const struct bridge *lan)
{
	bool any = routed->isolate || lan->isolate;

	for (size_t i = 0; !any && i < m->n_guests; i++)
		any = m->guests[i]->isolate && (m->guests[i]->bridge == routed ||
						m->guests[i]->bridge == lan);
	if (any)
		cut_declared(v, m, lan, routed);
}

/* Isolated guests are not routed to the guests of another bridge either. The
 * rules stand with both bridges, each of which may be the only one loaded. */
static void view_isolated(struct view *v, const struct model *m,
			  const struct bridge *b)
{
	view_list(v, "cuts");
	view_list(v, "cuts4");
	view_list(v, "cuts6");
	view_list(v, "cuts_mac");
	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *other = m->bridges[i];

		if (other == b)
			continue;
		if (bridge_routes(b) != bridge_routes(other)) {
			cut_lan(v, m, bridge_routes(b) ? b : other,
				bridge_routes(b) ? other : b);
		} else if (bridge_routes(b) && (b->isolate || other->isolate)) {
			add_cut(v, "cuts", b, other);
			add_cut(v, "cuts", other, b);
		} else if (bridge_routes(b)) {
			cut_guests(v, m, b, other);
			cut_guests(v, m, other, b);
		}
	}
}

/* Are all of a bridge's guests isolated, so that nothing of it passes from one
 * port to another? */
static bool isolates_all(const struct model *m, const struct bridge *b)
{
	if (!b->isolate || (b->uplink && !bridge_routes(b)))
		return false;
	for (size_t i = 0; i < m->n_ports; i++)
		if (m->ports[i]->bridge == b && !port_isolated(m->ports[i]))
			return false;
	return true;
}

static void add_hairpin(struct view *v, const struct bridge *b,
			const struct port *p, const struct facts *f)
{
	struct mac own = p->has_mac ? p->mac : port_default_mac(p);
	struct view *e = view_add(v, "hairpins");
	char text[MAC_TEXT], ip[IP_TEXT];

	view_set(e, "tap_mac", mac_format(&own, text));
	view_if(e, "has_own_mac", bridge_mac(b, f, &own));
	view_set(e, "own_mac", mac_format(&own, text));
	view_set(e, "mac", mac_format(&p->guest->mac, text));
	for (size_t i = 0; i < p->guest->ip.n; i++) {
		const struct ip *a = &p->guest->ip.v[i].cidr.ip;

		if (a->family == AF_INET)
			view_set(view_add(v, "apart4"), "address",
				 ip_format(a, ip));
	}
	struct list_of_ips own6 = guest_own6(p->guest);

	for (size_t i = 0; i < own6.n; i++)
		view_set(view_add(v, "apart6"), "address",
			 ip_format(&own6.v[i], ip));
	free(own6.v);
}

/* The host routes a packet back to the bridge that it came from if it is sent
 * to one of the host's own MACs there: that of the bridge, or of the tap. An
 * isolated guest gets nowhere that way. br_netfilter shows frames here that
 * are only bridged: nftables tells them by those MACs; iptables can't (its
 * physdev would load br_netfilter), and looks at whose address it is. */
static void view_hairpins(struct view *v, const struct model *m,
			  const struct bridge *b, const struct facts *f)
{
	bool all = isolates_all(m, b), any = false;

	view_list(v, "hairpins");
	view_list(v, "apart4");
	view_list(v, "apart6");
	for (size_t i = 0; i < m->n_ports; i++) {
		const struct port *p = m->ports[i];

		if (p->bridge == b && p->guest && p->guest->isolate &&
		    p->guest->has_mac) {
			add_hairpin(v, b, p, f);
			any = true;
		}
	}
	view_if(v, "no_hairpin", all);
	view_if(v, "some_hairpin", any && !all);
}

/* ---- sources ------------------------------------------------------------ */

static void add_origin(struct view *v, const struct cidr *net, bool own)
{
	char text[CIDR_TEXT];
	struct view *e = view_add(v, net->ip.family == AF_INET ? "origins4" :
				  "origins6");

	view_set(e, "net", cidr_format(net, text));
	view_if(e, "own_net", own);
}

/* Networks behind a guest that is a router: the configuration has a route to
 * them. Others may have a part of them (a default route is all there is). */
static void add_routed_nets(struct view *v, const struct bridge *b)
{
	for (size_t i = 0; i < b->routes.n; i++) {
		const struct item *it = &b->routes.v[i];
		_cleanup_free_ char *dst = xstrndup(it->text,
						    strcspn(it->text, " \t"));
		struct cidr net = { .ip.family = it->cidr.ip.family };

		if (streq(dst, "default") || cidr_parse(dst, true, &net)) {
			net = cidr_network(&net);
			add_origin(v, &net, false);
		}
	}
}

/* What a bridge's guests are forwarded as: its subnets (or, where addresses are
 * the LAN's, those of its guests) and the networks that it has routes to. Only
 * a guest with `filter = off` may be more, known by its MAC. Nobody from
 * elsewhere is forwarded as one of them. */
static void view_origins(struct view *v, const struct model *m,
			 const struct bridge *b)
{
	bool proxy = bridge_mode(b) == MODE_PROXYARP;
	char text[MAC_TEXT];

	view_list(v, "origins4");
	view_list(v, "origins6");
	view_list(v, "routers");
	view_if(v, "checks_sources", bridge_routes(b) && b->filter);
	if (!bridge_routes(b))
		return;
	for (size_t i = 0; !proxy && i < b->address.n; i++) {
		struct cidr net = cidr_network(&b->address.v[i].cidr);

		if (!ip_is_linklocal6(&net.ip))
			add_origin(v, &net, true);
	}
	add_routed_nets(v, b);
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (g->bridge != b)
			continue;
		for (size_t k = 0; proxy && k < g->ip.n; k++) {
			struct cidr one = g->ip.v[k].cidr;

			one.plen = ip_bits(&one.ip);
			add_origin(v, &one, true);
		}
		if (g->has_mac && g->at[GK_FILTER].line && !g->filter)
			view_set(view_add(v, "routers"), "mac",
				 mac_format(&g->mac, text));
	}
}

/* ---- forwards ---------------------------------------------------------- */

static void view_forwards(struct view *v, const struct model *m,
			  const struct bridge *b)
{
	bool any[2] = { false, false };

	view_list(v, "forwards4");
	view_list(v, "forwards6");
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		for (size_t k = 0; g->bridge == b && k < g->n_forwards; k++) {
			const struct forward *f = &g->forwards[k];

			for (int six = 0; six < 2; six++) {
				int family = six ? AF_INET6 : AF_INET;
				const struct ip *to = guest_ip(g, family);
				char text[CIDR_TEXT];
				struct view *e;

				if (!to || (f->host.family &&
					    f->host.family != family) ||
				    (f->from.ip.family &&
				     f->from.ip.family != family))
					continue;
				any[six] = true;
				e = view_add(v, six ? "forwards6" :
					     "forwards4");
				view_set(e, "proto", f->udp ? "udp" : "tcp");
				view_setf(e, "host_port", "%u", f->host_port);
				view_setf(e, "guest_port", "%u",
					  f->guest_port);
				view_set(e, "guest_address",
					 ip_format(to, text));
				view_if(e, "has_host", f->host.family);
				view_set(e, "host", f->host.family ?
					 ip_format(&f->host, text) : "");
				view_if(e, "has_from", f->from.ip.family);
				view_set(e, "from", f->from.ip.family ?
					 cidr_format(&f->from, text) : "");
			}
		}
	}
	view_if(v, "has_forwards4", any[0]);
	view_if(v, "has_forwards6", any[1]);
}

/* Do two forwards of a guest lead to one port of it? */
static bool same_port(const struct forward *a, const struct forward *b)
{
	return a->guest_port == b->guest_port && a->udp == b->udp;
}

/* Is this the first forward to its port, and may none of them be used by
 * all? */
static bool guards_port(const struct guest *g, size_t k)
{
	const struct forward *f = &g->forwards[k];

	for (size_t i = 0; i < g->n_forwards; i++) {
		const struct forward *other = &g->forwards[i];

		if (same_port(other, f) &&
		    (other < f || !other->from.ip.family))
			return false;
	}
	return true;
}

static void add_guard(struct view *v, const struct guest *g, size_t k,
		      const struct ip *to)
{
	const struct forward *f = &g->forwards[k];
	struct view *e = view_add(v, to->family == AF_INET ? "guards4" :
				  "guards6");
	bool any = false;
	char text[CIDR_TEXT];

	view_set(e, "proto", f->udp ? "udp" : "tcp");
	view_setf(e, "guest_port", "%u", f->guest_port);
	view_set(e, "guest_address", ip_format(to, text));
	view_list(e, "froms");
	for (size_t i = 0; i < g->n_forwards; i++) {
		const struct cidr *from = &g->forwards[i].from;

		if (!same_port(&g->forwards[i], f) ||
		    from->ip.family != to->family)
			continue;
		any = true;
		view_set(view_add(e, "froms"), "from",
			 cidr_format(from, text));
	}
	view_if(e, "has_froms", any);
}

/* `from` holds on every way to the guest's port: by a forward, by a route to
 * the guest's own address, in the other family. */
static void view_guards(struct view *v, const struct model *m,
			const struct bridge *b)
{
	view_list(v, "guards4");
	view_list(v, "guards6");
	view_if(v, "has_guards", false);
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		for (size_t k = 0; g->bridge == b && k < g->n_forwards; k++) {
			struct list_of_ips own6 = { 0 };

			if (!guards_port(g, k))
				continue;
			view_if(v, "has_guards", true);
			for (size_t a = 0; a < g->ip.n; a++)
				if (g->ip.v[a].cidr.ip.family == AF_INET)
					add_guard(v, g, k,
						  &g->ip.v[a].cidr.ip);
			if (g->has_mac)
				own6 = guest_own6(g);
			for (size_t a = 0; a < own6.n; a++)
				add_guard(v, g, k, &own6.v[a]);
			free(own6.v);
		}
	}
}

/* ---- rates ------------------------------------------------------------- */

static bool view_rates(struct view *v, const struct model *m,
		       const struct bridge *b)
{
	bool any = false;

	view_list(v, "rates");
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];
		struct view *e;

		if (g->bridge != b || !g->tap || !g->rate_out)
			continue;
		any = true;
		e = view_add(v, "rates");
		view_set(e, "tap", g->tap);
		view_setf(e, "bytes", "%llu",
			  (unsigned long long)g->rate_out / 8);
		/* a tenth of a second, and room for a few large frames */
		view_setf(e, "burst", "%llu", (unsigned long long)
			  (g->rate_out / 80 > 131072 ? g->rate_out / 80 :
			   131072));
	}
	return any;
}

/* ---- translation of MACs ------------------------------------------------ */

/* One's complement sum of a MAC's three words (RFC 1071). */
static uint32_t mac_sum(const struct mac *m)
{
	uint32_t sum = 0;

	for (int i = 0; i < 6; i += 2)
		sum += (uint32_t)m->b[i] << 8 | m->b[i + 1];
	return sum;
}

/* The word that, put beside `to`, sums up to the same as `from`: with it a
 * checksum over the one holds for the other. */
static unsigned int mac_difference(const struct mac *from, const struct mac *to)
{
	uint32_t sum = mac_sum(from) + 3 * 0xffff - mac_sum(to);

	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void view_macnat(struct view *v, const struct model *m,
			const struct bridge *b, const struct mac *uplink)
{
	bool any4 = false, any6 = false, any = false, declared[2] = { false };
	char text[MAC_TEXT], ends[2][IFNAMSIZ];

	view_list(v, "static4");
	view_list(v, "static6");
	view_list(v, "macs");
	view_set(v, "uplink_mac", mac_format(uplink, text));
	set_hex(v, "uplink_mac_hex", uplink->b, 6);
	bridge_veth(b, ends[0], ends[1]);
	view_set(v, "veth_port", ends[0]);
	view_set(v, "veth_outer", ends[1]);
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];
		struct view *e;

		if (g->bridge != b || !g->has_mac)
			continue;
		any = true;
		e = view_add(v, "macs");
		view_set(e, "mac", mac_format(&g->mac, text));
		view_setf(e, "nd_sum", "0x%04x", mac_difference(&g->mac,
								uplink));
		for (size_t k = 0; k < g->ip.n; k++) {
			const struct ip *a = &g->ip.v[k].cidr.ip;
			bool v4 = a->family == AF_INET;
			char ip[IP_TEXT];

			any4 |= v4;
			any6 |= !v4;
			e = view_add(v, v4 ? "static4" : "static6");
			view_set(e, "address", ip_format(a, ip));
			view_set(e, "mac", text);
		}
	}
	view_if(v, "any_static4", any4);
	view_if(v, "any_static6", any6);
	/* nobody else may be the host either */
	view_list(v, "hosts4");
	view_list(v, "hosts6");
	for (size_t i = 0; i < b->address.n; i++) {
		const struct ip *a = &b->address.v[i].cidr.ip;
		bool v4 = a->family == AF_INET;
		struct view *e = view_add(v, v4 ? "hosts4" : "hosts6");
		char ip[IP_TEXT];

		declared[v4] = true;
		view_set(e, "address", ip_format(a, ip));
		view_set(e, "mac", mac_format(uplink, text));
	}
	view_if(v, "any_declared4", any4 || declared[true]);
	view_if(v, "any_declared6", any6 || declared[false]);
	view_if(v, "any_macs", any);
	view_if(v, "any_reserved", any4 && b->dhcp.present &&
		b->dhcp.server != SERVER_NONE);
}

bool several_filter(const struct model *m)
{
	const struct bridge *one = NULL;

	for (size_t i = 0; m->n_bridges > 1 && i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (!g->bridge || !guest_filtered(g))
			continue;
		if (one && one != g->bridge)
			return true;
		one = g->bridge;
	}
	return false;
}

void view_firewall(struct view *v, const struct model *m,
		   const struct bridge *b, const struct facts *f,
		   const struct mac *uplink)
{
	bool macnat = bridge_mode(b) == MODE_MACNAT && uplink;
	bool port = macnat && !bridge_has_veth(b);
	bool filters, rates;

	if (macnat)
		view_macnat(v, m, b, uplink);
	view_if(v, "macnat_veth", macnat && !port);
	view_if(v, "macnat_port", port);
	view_if(v, "host_uplink", macnat && b->host == HOST_UPLINK);
	view_filter(v, m, b, &filters);
	view_isolated(v, m, b);
	view_hairpins(v, m, b, f);
	view_origins(v, m, b);
	/* its guests are for themselves: nothing is routed from or to it */
	view_if(v, "walled", bridge_mode(b) == MODE_ISOLATED);
	view_forwards(v, m, b);
	view_guards(v, m, b);
	rates = view_rates(v, m, b);
	view_if(v, "has_rates", rates);
	view_if(v, "looks", filters || rates);
	view_if(v, "names_bridges", filters && f->names_bridges);
	view_if(v, "bridge_table", rates || filters || port ||
		(macnat && b->host == HOST_UPLINK));
}
