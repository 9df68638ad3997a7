/* Fills in what the config leaves open, then looks for what can't work. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "model.h"

/* ---- completion: ports ------------------------------------------------ */

static struct port *get_port(struct model *m, const char *name, struct src src)
{
	struct port *p = model_port(m, name);

	return p ? p : model_add_port(m, name, src);
}

/* Puts a port on a bridge; a second bridge is an error. */
static void join(struct port *p, struct bridge *b, struct src src)
{
	if (p->bridge && p->bridge != b) {
		diag_error(src, p->name, "%s is in two bridges: %s and %s",
			   p->name, p->bridge->name, b->name);
		return;
	}
	p->bridge = b;
}

/* The bridge a guest or interface belongs to: the named one, or the only
 * one. Complains and returns NULL if there is no telling. */
static struct bridge *choose_bridge(struct model *m, const char *name,
				    struct src at, struct src src,
				    const char *who)
{
	struct bridge *b;

	if (name) {
		b = model_bridge(m, name);
		if (!b)
			diag_error(at, name, "there is no bridge '%s'", name);
		return b;
	}
	if (m->n_bridges == 1)
		return m->bridges[0];
	if (m->n_bridges > 1)
		diag_error(src, who, "'%s' must say which bridge it is on: "
			   "bridge = %s", who, m->bridges[0]->name);
	return NULL;
}

static void complete_guest_tap(struct model *m, struct guest *g)
{
	struct port *p;

	if (!g->at[GK_TAP].line && !g->reserved) {
		_cleanup_free_ char *tap = xasprintf("tap-%s", g->name);

		if (!ifname_ok(tap)) {
			diag_error(g->src, g->name, "the tap's name would be "
				   "'%s', longer than the 15 characters of an "
				   "interface name: add tap = NAME", tap);
			return;
		}
		g->tap = steal(&tap);
	}
	if (!g->tap)
		return;
	p = get_port(m, g->tap, g->at[GK_TAP].line ? g->at[GK_TAP] : g->src);
	if (p->guest) {
		diag_error(g->at[GK_TAP].line ? g->at[GK_TAP] : g->src, g->tap,
			   "%s is also the tap of guest '%s'", g->tap,
			   p->guest->name);
		return;
	}
	p->guest = g;
}

/* A port and its guest may both name owner, group and queues: once. */
static void merge_guest_port(struct port *p)
{
	static const struct {
		enum guest_key g;
		enum port_key p;
		const char *name;
	} both[] = {
		{ GK_OWNER, PK_OWNER, "owner" },
		{ GK_GROUP, PK_GROUP, "group" },
		{ GK_QUEUES, PK_QUEUES, "queues" },
		{ GK_VNET_HDR, PK_VNET_HDR, "vnet_hdr" },
		{ GK_BRIDGE, PK_BRIDGE, "bridge" },
	};
	struct guest *g = p->guest;

	if (!g)
		return;
	for (size_t i = 0; i < N_ELEMENTS(both); i++)
		if (g->at[both[i].g].line && p->at[both[i].p].line)
			diag_error(p->at[both[i].p], both[i].name,
				   "'%s' of %s is also set at %s:%d, in guest "
				   "'%s'", both[i].name, p->name,
				   g->at[both[i].g].file,
				   g->at[both[i].g].line, g->name);
	if (!p->owner && g->owner)
		p->owner = xstrdup(g->owner);
	if (!p->group && g->group)
		p->group = xstrdup(g->group);
	if (!p->queues)
		p->queues = g->queues;
	if (!g->at[GK_VNET_HDR].line && !p->at[PK_VNET_HDR].line)
		p->vnet_hdr = g->model == NIC_VIRTIO;
	else if (g->at[GK_VNET_HDR].line)
		p->vnet_hdr = g->vnet_hdr;
}

static bool is_uplink(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->n_bridges; i++)
		if (m->bridges[i]->uplink &&
		    streq(m->bridges[i]->uplink, name))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	const struct port *const *pa = a, *const *pb = b;

	return strverscmp((*pa)->name, (*pb)->name);
}

/* However it was written, the model has its ports in name order (tap2 before
 * tap10), and every bridge lists all of its own. */
static void sort_ports(struct model *m)
{
	if (m->n_ports)
		qsort(m->ports, m->n_ports, sizeof(*m->ports), by_name);
	for (size_t i = 0; i < m->n_bridges; i++)
		list_free(&m->bridges[i]->ports);
	for (size_t i = 0; i < m->n_ports; i++) {
		struct port *p = m->ports[i];

		if (p->bridge)
			list_add(&p->bridge->ports, p->name, p->src);
	}
}

static enum port_type default_type(const struct model *m,
				   const struct port *p)
{
	if (p->guest || str_begins(p->name, "tap"))
		return PORT_TAP;
	if (is_uplink(m, p->name))
		return PORT_EXISTING;
	return p->declared ? PORT_TAP : PORT_EXISTING;
}

/* netifrc's bridge_br0 = "eth0 tap0" names the uplink among the ports: the
 * first that is no tap. */
static void find_uplink(struct model *m, struct bridge *b)
{
	struct list rest = { 0 };

	for (size_t i = 0; i < b->ports.n; i++) {
		struct item *it = &b->ports.v[i];
		struct port *p = get_port(m, it->text, it->src);
		enum port_type type = p->at[PK_TYPE].line ?
				      p->type : default_type(m, p);

		if (b->uplink && streq(b->uplink, it->text))
			continue;
		if (type == PORT_EXISTING && !b->uplink &&
		    b->mode != MODE_ROUTED && b->mode != MODE_ISOLATED) {
			b->uplink = xstrdup(it->text);
			b->at[BK_UPLINK] = it->src;
			continue;
		}
		list_add(&rest, it->text, it->src);
		join(p, b, it->src);
	}
	list_free(&b->ports);
	b->ports = rest;
}

static void complete_port(struct model *m, struct port *p)
{
	if (!p->at[PK_TYPE].line)
		p->type = default_type(m, p);
	merge_guest_port(p);
	if (!p->queues)
		p->queues = 1;
	if (p->guest && p->guest->bridge)
		join(p, p->guest->bridge, p->guest->src);
	if (!p->bridge && (p->bridge_name ||
			   (p->type == PORT_TAP && !p->guest))) {
		struct bridge *b = choose_bridge(m, p->bridge_name,
						 p->at[PK_BRIDGE], p->src,
						 p->name);
		if (b)
			join(p, b, p->src);
	} else if (p->bridge && p->bridge_name &&
		   !streq(p->bridge->name, p->bridge_name)) {
		diag_error(p->at[PK_BRIDGE], p->bridge_name,
			   "%s is in two bridges: %s and %s", p->name,
			   p->bridge->name, p->bridge_name);
	}
	if (p->type == PORT_EXISTING && (p->guest || p->owner || p->group ||
					 p->queues > 1))
		diag_error(p->src, p->name, "%s is an existing device: "
			   "owner, group, queues and a guest go with a tap",
			   p->name);
}

/* The article's flat form has one tap and one reservation: they belong
 * together. With more of either there is no telling. */
static void pair_reservation(struct model *m, struct bridge *b)
{
	struct guest *guest = NULL;
	struct port *port = NULL;
	size_t guests = 0, ports = 0;

	for (size_t i = 0; i < m->n_guests; i++) {
		if (m->guests[i]->bridge == b && m->guests[i]->reserved &&
		    !m->guests[i]->tap) {
			guest = m->guests[i];
			guests++;
		}
	}
	for (size_t i = 0; guests == 1 && i < m->n_ports; i++) {
		struct port *p = m->ports[i];

		if (p->bridge == b && !p->guest && p->type == PORT_TAP) {
			port = p;
			ports++;
		}
	}
	if (guests == 1 && ports == 1) {
		guest->tap = xstrdup(port->name);
		port->guest = guest;
		merge_guest_port(port);
	}
}

/* Every bridge lists all its ports, also those that guests and interface
 * sections put there; in the order of the file. */
static void complete_ports(struct model *m)
{
	for (size_t i = 0; i < m->interfaces.n; i++)
		get_port(m, m->interfaces.v[i].text, m->interfaces.v[i].src);
	for (size_t i = 0; i < m->n_guests; i++) {
		struct guest *g = m->guests[i];

		g->bridge = choose_bridge(m, g->bridge_name, g->at[GK_BRIDGE],
					  g->src, g->name);
		complete_guest_tap(m, g);
	}
	for (size_t i = 0; i < m->n_bridges; i++)
		find_uplink(m, m->bridges[i]);
	for (size_t i = 0; i < m->n_ports; i++)
		complete_port(m, m->ports[i]);
	for (size_t i = 0; i < m->n_bridges; i++)
		pair_reservation(m, m->bridges[i]);
	sort_ports(m);
}

/* ---- completion: bridges and guests ------------------------------------ */

static void complete_timers(struct bridge *b)
{
	if (!b->at[BK_HELLO_TIME].line)
		b->hello_time_cs = 200;
	if (!b->at[BK_MAX_AGE].line)
		b->max_age_cs = 2000;
	if (!b->at[BK_AGEING_TIME].line)
		b->ageing_time_cs = 30000;
	if (!b->at[BK_PRIORITY].line)
		b->priority = 32768;
	if (b->stp && !b->at[BK_FORWARD_DELAY].line)
		b->forward_delay_cs = 200;
	if (b->stp && b->forward_delay_cs == 0) {
		diag_warning(b->at[BK_FORWARD_DELAY], NULL, "with stp on the "
			     "kernel makes forward_delay 0 into 2 seconds");
		b->forward_delay_cs = 200;
	}
}

/* Pairs of addresses become ranges. */
static void complete_ranges(struct bridge *b)
{
	struct dhcp *d = &b->dhcp;

	if (d->range.n % 2) {
		diag_error(d->at[DK_RANGE], "range", "'range' takes pairs of "
			   "addresses, the first and the last");
		return;
	}
	d->n_ranges = d->range.n / 2;
	d->ranges = xcalloc(d->n_ranges, sizeof(*d->ranges));
	for (size_t i = 0; i < d->n_ranges; i++)
		d->ranges[i] = (struct range){
			d->range.v[2 * i].cidr.ip,
			d->range.v[2 * i + 1].cidr.ip, d->range.v[2 * i].src,
		};
}

static void complete_bridge(struct bridge *b)
{
	enum mode mode = bridge_mode(b);

	complete_timers(b);
	complete_ranges(b);
	if (!b->at[BK_MAC].line)
		b->mac_policy = bridge_takes_over(b) ? MACP_UPLINK :
				MACP_STABLE;
	if (!b->at[BK_NAT].line)
		b->nat = mode == MODE_ROUTED;
	if (!b->at[BK_FILTER].line)
		b->filter = true;
	if (!b->dhcp.lease_time)
		b->dhcp.lease_time = xstrdup("12h");
}

/* A forward leads from an address of the host to the guest behind it. */
static void complete_forwards(struct guest *g)
{
	const struct bridge *b = g->bridge;

	if (!g->forward.n)
		return;
	if (b && bridge_mode(b) != MODE_ROUTED) {
		diag_error(g->at[GK_FORWARD], "forward", "%s is %s: its guests "
			   "are reached at their own addresses, there is "
			   "nothing to forward", b->name,
			   mode_names[bridge_mode(b)]);
		return;
	}
	if (!g->ip.n) {
		diag_error(g->at[GK_FORWARD], "forward", "a forward needs an "
			   "address to go to: add ip = ... to guest '%s'",
			   g->name);
		return;
	}
	g->forwards = xcalloc(g->forward.n, sizeof(*g->forwards));
	for (size_t i = 0; i < g->forward.n; i++) {
		struct item *it = &g->forward.v[i];
		struct forward *f = &g->forwards[g->n_forwards];
		int family;

		if (!forward_parse(it->text, f))
			continue;
		f->src = it->src;
		family = f->host.family ? f->host.family : f->from.ip.family;
		if (family && !guest_ip(g, family)) {
			diag_error(it->src, it->text, "guest '%s' has no %s "
				   "address to forward this to", g->name,
				   family == AF_INET ? "IPv4" : "IPv6");
			continue;
		}
		g->n_forwards++;
	}
}

static void complete_guest(struct guest *g)
{
	if (!g->queues)
		g->queues = 1;
	if (!g->at[GK_VNET_HDR].line)
		g->vnet_hdr = g->model == NIC_VIRTIO;
	if (!g->at[GK_FILTER].line)
		g->filter = g->bridge && g->bridge->filter &&
			    g->has_mac && g->tap;
	if (g->bridge && guest_ip(g, AF_INET6))
		g->bridge->guests6 = true;
	if (!g->at[GK_ISOLATE].line)
		g->isolate = g->bridge && g->bridge->isolate;
	complete_forwards(g);
	if ((g->rate_in || g->rate_out) && !g->tap)
		diag_error(g->at[g->rate_in ? GK_RATE_IN : GK_RATE_OUT],
			   g->rate_in ? "rate_in" : "rate_out", "a rate is set "
			   "on a tap, and guest '%s' has none", g->name);
	if (g->at[GK_FILTER].line && g->filter && (!g->has_mac || !g->tap))
		diag_error(g->at[GK_FILTER], "filter", "to filter, a guest "
			   "needs a tap and its MAC address: add %s to '%s'",
			   g->tap ? "mac = 52:54:00:..:..:.." : "tap = NAME",
			   g->name);
	if (!g->hostname) {
		const char *s = g->name;

		if (!hostname_ok(s) || dnsmasq_word(s))
			diag_error(g->src, s, "'%s' can't be a host name "
				   "(dnsmasq would read it otherwise): add "
				   "hostname = NAME", s);
		g->hostname = xstrdup(s);
	}
}

/* ---- cross-checks: one bridge ------------------------------------------ */

/* Guests behind the uplink's one MAC: its MAC is the bridge's. */
static void check_macnat(const struct bridge *b)
{
	if (b->host == HOST_UPLINK && (b->address.n || b->address_dhcp))
		diag_error(b->at[BK_ADDRESS], NULL, "with host = uplink the "
			   "host keeps its addresses on %s: take address out",
			   b->uplink ? b->uplink : "its uplink");
	if (b->host == HOST_UPLINK && b->dhcp.present &&
	    b->dhcp.server != SERVER_NONE)
		diag_error(b->dhcp.src, "dhcp", "with host = uplink guests are "
			   "served by the LAN's DHCP server: take dhcp out");
	if (b->host == HOST_BRIDGE && b->at[BK_MAC].line &&
	    b->mac_policy != MACP_UPLINK)
		diag_error(b->at[BK_MAC], NULL, "in mode macnat the bridge "
			   "has the MAC address of its uplink: take mac out");
	if (b->stp)
		diag_error(b->at[BK_STP], NULL, "in mode macnat no bridge can "
			   "be seen from outside, so there is nothing for STP "
			   "to do: take stp out");
}

static void check_mode(const struct bridge *b)
{
	enum mode mode = bridge_mode(b);
	struct src at = b->at[BK_MODE].line ? b->at[BK_MODE] : b->src;

	if ((mode == MODE_BRIDGED || mode == MODE_WDS ||
	     mode == MODE_MACNAT || mode == MODE_PROXYARP) && !b->uplink)
		diag_error(at, mode_names[mode], "a %s bridge needs its way to "
			   "the LAN: add uplink = %s", mode_names[mode],
			   mode == MODE_WDS ? "wlan0" : "eth0");
	if (b->probe && (b->mode != MODE_AUTO || !b->uplink))
		diag_error(b->at[BK_PROBE], "yes", "probe finds out what mode "
			   "= auto makes of an uplink: it goes with both");
	if (mode == MODE_MACNAT)
		check_macnat(b);
	else if (b->host == HOST_UPLINK)
		diag_error(b->at[BK_HOST], "uplink", "host = uplink goes with "
			   "mode macnat");
	if (mode == MODE_ISOLATED && b->uplink)
		diag_error(b->at[BK_UPLINK], b->uplink, "an isolated bridge "
			   "has no uplink");
	if (mode == MODE_ROUTED && !b->address.n)
		diag_error(at, "routed", "a routed bridge needs an address, "
			   "the guests' gateway: add address = "
			   "192.168.50.1/24");
	if (!bridge_takes_over(b) && mode != MODE_BRIDGED && mode != MODE_WDS &&
	    mode != MODE_MACNAT && b->address_dhcp)
		diag_error(b->at[BK_ADDRESS], "dhcp", "address = dhcp needs "
			   "a DHCP server on the other side of an uplink: %s "
			   "has none", b->name);
	if (mode != MODE_ROUTED && b->nat)
		diag_error(b->at[BK_NAT], "nat", "nat goes with mode routed: "
			   "in mode %s the guests' addresses are not "
			   "translated", mode_names[mode]);
	if (b->at[BK_MAC].line && b->mac_policy == MACP_UPLINK && !b->uplink)
		diag_error(b->at[BK_MAC], "uplink", "mac = uplink needs an "
			   "uplink");
	if (b->uplink && streq(b->uplink, b->name))
		diag_error(b->at[BK_UPLINK], b->uplink, "a bridge can't be "
			   "its own uplink");
}

static void check_timers(const struct bridge *b)
{
	unsigned long fd = b->forward_delay_cs;

	if (!b->stp)
		return;
	if (fd < 200 || fd > 3000)
		diag_error(b->at[BK_FORWARD_DELAY], NULL, "with stp on "
			   "forward_delay must be between 2 and 30 seconds");
	if ((b->at[BK_MAX_AGE].line || b->at[BK_HELLO_TIME].line) &&
	    b->max_age_cs < 2 * (b->hello_time_cs + 100))
		diag_error(b->at[BK_MAX_AGE].line ? b->at[BK_MAX_AGE] :
			   b->at[BK_HELLO_TIME], NULL, "802.1D wants "
			   "max_age >= 2 x (hello_time + 1 s)");
	if (b->at[BK_MAX_AGE].line && b->at[BK_FORWARD_DELAY].line &&
	    fd >= 200 && b->max_age_cs > 2 * (fd - 100))
		diag_warning(b->at[BK_MAX_AGE], NULL, "802.1D wants "
			     "2 x (forward_delay - 1 s) >= max_age");
}

static const struct cidr *subnet_of(const struct bridge *b,
				    const struct ip *a)
{
	for (size_t i = 0; i < b->address.n; i++)
		if (cidr_has(&b->address.v[i].cidr, a))
			return &b->address.v[i].cidr;
	return NULL;
}

/* Network and broadcast address of a v4 subnet are nobody's. */
static bool reserved_ip(const struct cidr *net, const struct ip *a)
{
	struct cidr n = cidr_network(net);
	struct ip last = cidr_last(net);

	if (net->ip.family != AF_INET)
		return net->plen < 127 && ip_equal(a, &n.ip);
	return net->plen < 31 && (ip_equal(a, &n.ip) || ip_equal(a, &last));
}

static void check_addresses(const struct bridge *b)
{
	for (size_t i = 0; i < b->address.n; i++) {
		const struct item *it = &b->address.v[i];

		if (reserved_ip(&it->cidr, &it->cidr.ip))
			diag_error(it->src, it->text, "%s is the network or "
				   "broadcast address of its subnet",
				   it->text);
		for (size_t k = 0; k < i; k++)
			if (cidr_overlap(&it->cidr, &b->address.v[k].cidr) &&
			    it->cidr.plen != b->address.v[k].cidr.plen)
				diag_warning(it->src, it->text, "%s overlaps "
					     "with %s", it->text,
					     b->address.v[k].text);
	}
	for (size_t i = 0; i < b->gateway.n; i++) {
		const struct item *it = &b->gateway.v[i];

		for (size_t k = 0; k < i; k++)
			if (b->gateway.v[k].cidr.ip.family ==
			    it->cidr.ip.family)
				diag_error(it->src, it->text, "there is one "
					   "gateway for each address family");
		if (b->address_dhcp && !bridge_address(b,
						       it->cidr.ip.family))
			continue;
		if (!ip_is_linklocal6(&it->cidr.ip) &&
		    !subnet_of(b, &it->cidr.ip))
			diag_error(it->src, it->text, "the gateway %s is in "
				   "no subnet of %s", it->text, b->name);
		else if (!ip_is_linklocal6(&it->cidr.ip) &&
			 ip_equal(&it->cidr.ip,
				  &subnet_of(b, &it->cidr.ip)->ip))
			diag_error(it->src, it->text, "the gateway %s is "
				   "%s's own address", it->text, b->name);
	}
	if (b->gateway.n && b->uplink && !bridge_takes_over(b) &&
	    bridge_mode(b) == MODE_MACNAT)
		diag_error(b->at[BK_GATEWAY], NULL, "with host = uplink the "
			   "host's gateway is the uplink's matter");
	else if (b->gateway.n && !bridge_takes_over(b))
		diag_error(b->at[BK_GATEWAY], NULL, "gateway is the way out "
			   "of a bridged bridge; in mode %s the guests' "
			   "gateway is the bridge itself",
			   mode_names[bridge_mode(b)]);
}

static void check_range(const struct bridge *b, const struct range *r)
{
	char first[IP_TEXT], last[IP_TEXT];
	const struct cidr *net;

	ip_format(&r->first, first);
	ip_format(&r->last, last);
	if (r->first.family != r->last.family) {
		diag_error(r->src, first, "the range begins and ends in two "
			   "address families");
		return;
	}
	if (ip_compare(&r->first, &r->last) > 0) {
		diag_error(r->src, first, "the range is reversed: %s comes "
			   "after %s", first, last);
		return;
	}
	net = subnet_of(b, &r->first);
	if (!net || net != subnet_of(b, &r->last)) {
		diag_error(r->src, net ? last : first, "the range %s to %s is "
			   "not inside a subnet of %s", first, last, b->name);
		return;
	}
	if (ip_compare(&r->first, &net->ip) <= 0 &&
	    ip_compare(&net->ip, &r->last) <= 0)
		diag_error(r->src, first, "the range contains %s's own "
			   "address", b->name);
	if (reserved_ip(net, &r->first) || reserved_ip(net, &r->last))
		diag_error(r->src, first, "the range contains the network or "
			   "broadcast address of its subnet");
}

static void check_dhcp(const struct bridge *b)
{
	const struct dhcp *d = &b->dhcp;

	if (!d->present)
		return;
	if (d->server != SERVER_NONE && !b->address.n)
		diag_error(d->src, "dhcp", "a DHCP server needs an address of "
			   "its own: add address = 192.168.50.1/24 to %s",
			   b->name);
	if (d->server != SERVER_NONE && bridge_mode(b) == MODE_MACNAT &&
	    d->n_ranges)
		diag_error(d->ranges[0].src, "range", "%s is part of the LAN, "
			   "whose own DHCP server gives out its addresses: "
			   "take range out, only guests with an ip are served",
			   b->name);
	else if (d->server != SERVER_NONE && bridge_mode(b) == MODE_MACNAT &&
		 !d->router.n && !b->gateway.n)
		diag_error(d->src, "dhcp", "guests must be told the LAN's "
			   "router: add gateway = ... to %s, or router = ... "
			   "here", b->name);
	else if (d->server != SERVER_NONE && bridge_takes_over(b) &&
		 bridge_mode(b) != MODE_MACNAT)
		diag_warning(d->src, "dhcp", "%s is bridged: this DHCP server "
			     "answers the whole LAN", b->name);
	for (size_t i = 0; i < d->n_ranges; i++) {
		check_range(b, &d->ranges[i]);
		for (size_t k = 0; k < i; k++)
			if (ip_compare(&d->ranges[i].first,
				       &d->ranges[k].last) <= 0 &&
			    ip_compare(&d->ranges[k].first,
				       &d->ranges[i].last) <= 0)
				diag_error(d->ranges[i].src, NULL, "two "
					   "ranges overlap");
	}
}

/* ---- cross-checks: between things -------------------------------------- */


/* Whose a MAC, an address or a name is. */
struct owner {
	const char *kind, *name;
};

/* All that can own something, each once: bridges, interfaces, guests. */
struct owners {
	struct owner *bridge, *port, *guest;
};

static struct owners owners_of(const struct model *m)
{
	struct owner *o = xcalloc(m->n_bridges + m->n_ports + m->n_guests,
				  sizeof(*o));
	struct owners all = { o, o + m->n_bridges,
			      o + m->n_bridges + m->n_ports };

	for (size_t i = 0; i < m->n_bridges; i++)
		all.bridge[i] = (struct owner){ "bridge", m->bridges[i]->name };
	for (size_t i = 0; i < m->n_ports; i++)
		all.port[i] = (struct owner){ "interface", m->ports[i]->name };
	for (size_t i = 0; i < m->n_guests; i++)
		all.guest[i] = (struct owner){ "guest", m->guests[i]->name };
	return all;
}

/* Complains when a value was seen before. `what` is "MAC address", ... */
static void check_unique(struct strmap *map, const char *value,
			 const struct owner *owner, struct src src,
			 const char *what)
{
	const struct owner *had = strmap_put(map, value, (void *)owner);

	if (had)
		diag_error(src, value, "%s %s is also that of %s '%s'", what,
			   value, had->kind, had->name);
}

static void check_macs(const struct model *m, const struct owners *o)
{
	struct strmap map = { 0 };
	char text[MAC_TEXT];

	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *b = m->bridges[i];

		if (b->at[BK_MAC].line && b->mac_policy == MACP_FIXED)
			check_unique(&map, mac_format(&b->mac, text),
				     &o->bridge[i], b->at[BK_MAC],
				     "MAC address");
	}
	for (size_t i = 0; i < m->n_ports; i++) {
		const struct port *p = m->ports[i];

		if (p->has_mac)
			check_unique(&map, mac_format(&p->mac, text),
				     &o->port[i], p->at[PK_MAC],
				     "MAC address");
	}
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];
		const struct owner *had;

		if (!g->has_mac)
			continue;
		mac_format(&g->mac, text);
		had = strmap_get(&map, text);
		if (had && had < o->guest)
			diag_error(g->at[GK_MAC], text, "the guest's MAC "
				   "address %s is also that of %s '%s': the "
				   "bridge would keep the guest's frames for "
				   "itself; the guest and the host side of "
				   "its tap need two addresses", text,
				   had->kind, had->name);
		else
			check_unique(&map, text, &o->guest[i], g->at[GK_MAC],
				     "MAC address");
	}
	strmap_free(&map);
}

static void check_guest_ips(const struct guest *g, struct strmap *map,
			    const struct owner *owner)
{
	char text[IP_TEXT];

	for (size_t i = 0; i < g->ip.n; i++) {
		const struct item *it = &g->ip.v[i];
		const struct cidr *net;

		check_unique(map, ip_format(&it->cidr.ip, text), owner,
			     it->src, "address");
		if (!g->bridge || !bridge_address(g->bridge,
						  it->cidr.ip.family))
			continue;	/* the LAN's addresses: unknown */
		net = subnet_of(g->bridge, &it->cidr.ip);
		if (!net)
			diag_error(it->src, it->text, "%s is in no subnet of "
				   "%s", it->text, g->bridge->name);
		else if (reserved_ip(net, &it->cidr.ip))
			diag_error(it->src, it->text, "%s is the network or "
				   "broadcast address of its subnet",
				   it->text);
	}
	if (g->ip.n && !g->has_mac)
		diag_error(g->at[GK_IP], NULL, "an address is reserved for a "
			   "MAC address: add mac = 52:54:00:..:..:.. to "
			   "guest '%s'", g->name);
	if (g->bridge && g->bridge->dhcp.present && g->ip.n &&
	    !g->bridge->address.n && g->bridge->dhcp.server != SERVER_NONE)
		diag_error(g->at[GK_IP], NULL, "%s has no subnet to reserve "
			   "an address in", g->bridge->name);
}

static void check_ips(const struct model *m, const struct owners *o)
{
	struct strmap map = { 0 }, hostnames = { 0 };
	char text[IP_TEXT];

	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *b = m->bridges[i];

		for (size_t k = 0; k < b->address.n; k++)
			check_unique(&map, ip_format(&b->address.v[k].cidr.ip,
						     text), &o->bridge[i],
				     b->address.v[k].src, "address");
	}
	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		check_guest_ips(g, &map, &o->guest[i]);
		check_unique(&hostnames, g->hostname, &o->guest[i],
			     g->at[GK_HOSTNAME].line ? g->at[GK_HOSTNAME] :
			     g->src, "host name");
	}
	strmap_free(&map);
	strmap_free(&hostnames);
}

static void check_subnets(const struct bridge *a, const struct bridge *b)
{
	for (size_t i = 0; i < a->address.n; i++)
		for (size_t k = 0; k < b->address.n; k++)
			if (cidr_overlap(&a->address.v[i].cidr,
					 &b->address.v[k].cidr))
				diag_error(a->address.v[i].src,
					   a->address.v[i].text,
					   "%s of %s overlaps with %s of %s",
					   a->address.v[i].text, a->name,
					   b->address.v[k].text, b->name);
}

static bool same_door(const struct forward *a, const struct forward *b)
{
	return a->udp == b->udp && a->host_port == b->host_port &&
	       (!a->host.family || !b->host.family ||
		ip_equal(&a->host, &b->host)) &&
	       (!a->from.ip.family || !b->from.ip.family ||
		cidr_overlap(&a->from, &b->from));
}

/* Two forwards of one port: only the first would ever be used. */
static void check_forwards(const struct model *m)
{
	_cleanup_free_ const struct forward **seen = NULL;

	for (size_t i = 0; i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];

		if (g->n_forwards && !seen)
			seen = xcalloc(65536, sizeof(*seen));
		for (size_t k = 0; k < g->n_forwards; k++) {
			const struct forward *f = &g->forwards[k];
			const struct forward *old = seen[f->host_port];

			if (old && same_door(old, f))
				diag_error(f->src, g->forward.v[k].text,
					   "port %u is forwarded already, at "
					   "%s:%d", f->host_port,
					   old->src.file, old->src.line);
			seen[f->host_port] = f;
		}
	}
}

/* netifrc makes shell variables of names: br-lan and br_lan are one. */
static void check_names(const struct model *m, const struct owners *o)
{
	struct strmap vars = { 0 };

	/* owners of interfaces follow those of bridges */
	for (size_t i = 0; i < m->n_bridges + m->n_ports; i++) {
		const struct owner *who = &o->bridge[i], *had;
		struct src src = i < m->n_bridges ? m->bridges[i]->src :
				 m->ports[i - m->n_bridges]->src;
		char var[IFNAMSIZ];

		str_put(var, sizeof(var), who->name);
		for (char *p = var; *p; p++)
			if (*p == '-' || *p == '.')
				*p = '_';
		had = strmap_put(&vars, var, (void *)who);
		if (had)
			diag_error(src, who->name, "'%s' and %s '%s' would "
				   "share the shell variables ..._%s in "
				   "/etc/conf.d/net: rename one", who->name,
				   had->kind, had->name, var);
	}
	strmap_free(&vars);
}

static void check_uplinks(const struct model *m)
{
	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *b = m->bridges[i];
		const struct port *p = b->uplink ? model_port(m, b->uplink) :
				       NULL;

		if (!bridge_takes_over(b))
			continue;
		if (p && (p->bridge || p->type == PORT_TAP))
			diag_error(b->at[BK_UPLINK], b->uplink,
				   p->bridge ? "%s is the uplink of %s and "
				   "a port of %s" : "%s is the uplink of %s "
				   "and a tap%.0s", b->uplink, b->name,
				   p->bridge ? p->bridge->name : "");
		for (size_t k = 0; k < i; k++)
			if (bridge_takes_over(m->bridges[k]) &&
			    streq(m->bridges[k]->uplink, b->uplink))
				diag_error(b->at[BK_UPLINK], b->uplink,
					   "%s is also the uplink of %s",
					   b->uplink, m->bridges[k]->name);
	}
}

static void check_bridges(const struct model *m)
{
	if (!m->n_bridges)
		diag_error((struct src){ .file = m->file }, NULL,
			   "declares no bridge; an empty configuration is "
			   "refused, since it would remove every bridge: use "
			   "'netbr-apply down' for that");
	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *b = m->bridges[i];

		check_mode(b);
		check_timers(b);
		check_addresses(b);
		check_dhcp(b);
		for (size_t k = 0; k < i; k++)
			check_subnets(b, m->bridges[k]);
	}
}

unsigned int model_check(struct model *m)
{
	struct owners owners;

	complete_ports(m);
	for (size_t i = 0; i < m->n_bridges; i++)
		complete_bridge(m->bridges[i]);
	for (size_t i = 0; i < m->n_guests; i++)
		complete_guest(m->guests[i]);
	owners = owners_of(m);
	check_bridges(m);
	check_uplinks(m);
	check_names(m, &owners);
	check_macs(m, &owners);
	check_ips(m, &owners);
	check_forwards(m);
	free(owners.bridge);
	return diag_errors();
}
