#include "report.h"

#include <jansson.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "translate.h"
#include "try.h"

#define SCHEMA_VERSION 1

static const char *const kind_names[OP_KIND_COUNT] = {
	[OP_BRIDGE_CREATE] = "bridge-create", [OP_TAP_CREATE] = "tap-create",
	[OP_LINK_SET] = "link-set", [OP_LINK_DELETE] = "link-delete",
	[OP_ADDR_ADD] = "address-add", [OP_ADDR_DEL] = "address-remove",
	[OP_ROUTE_ADD] = "route-add", [OP_ROUTE_DEL] = "route-remove",
	[OP_SYSCTL] = "sysctl", [OP_FIREWALL] = "firewall",
	[OP_ANNOUNCE] = "announce", [OP_NEIGH_ADD] = "neighbour-add",
	[OP_DNSMASQ] = "dnsmasq", [OP_CLIENT_STOP] = "dhcp-client-stop",
	[OP_CLIENT_START] = "dhcp-client-start", [OP_CARRIER] = "carrier",
	[OP_RATE] = "rate", [OP_LEASE] = "lease-release",
	[OP_SETTLE] = "address-wait", [OP_VETH_CREATE] = "veth-create",
	[OP_4ADDR] = "4addr", [OP_ASK] = "ask", [OP_PROXY] = "proxy-neighbour",
	[OP_SCREEN] = "screen",
};

static void dump_json(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

static json_t *op_to_json(const struct op *op)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "operation",
			      kind_names[op->kind], "class",
			      class_names[op->class], "object", op->object,
			      "sentence", op->sentence);

	if (*op->bridge)
		json_object_set_new(o, "bridge", json_string(op->bridge));
	if (op->attr) {
		json_object_set_new(o, "attribute", json_string(op->attr));
		json_object_set_new(o, "wanted", json_string(op->want));
		json_object_set_new(o, "actual", json_string(op->have));
	}
	return o;
}

static json_t *warnings_to_json(const struct plan *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_warnings; i++)
		json_array_append_new(a, json_string(p->warnings[i]));
	return a;
}

static json_t *modes_to_json(const struct session *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_bridges; i++) {
		const struct bridge *b = s->bridges[i];

		if (b->mode == MODE_AUTO && b->why)
			json_array_append_new(a, json_pack(
				"{s:s, s:s, s:s}", "bridge", b->name, "mode",
				mode_names[bridge_mode(b)], "reason", b->why));
	}
	return a;
}

/* The host's address towards the LAN: that of the uplink, or of the link of
 * the default route. NULL if it has none. */
static const struct kaddr *lan_address(const struct session *s,
				       const struct bridge *b, int family)
{
	const struct klink *up = b->uplink ? kstate_link(&s->k, b->uplink) :
				 NULL;
	int index = up ? up->index : 0;

	for (size_t i = 0; !index && i < s->k.n_routes; i++)
		if (!s->k.routes[i].dst.plen && s->k.routes[i].gw.family &&
		    s->k.routes[i].family == family)
			index = s->k.routes[i].oif;
	for (size_t i = 0; i < s->k.n_addrs; i++)
		if (s->k.addrs[i].index == index &&
		    s->k.addrs[i].c.ip.family == family &&
		    !ip_is_linklocal6(&s->k.addrs[i].c.ip))
			return &s->k.addrs[i];
	return NULL;
}

/* The routes that the LAN needs to guests whose addresses are not translated:
 * "SUBNET via ADDRESS" each. */
static void routes_needed(const struct session *s, const struct bridge *b,
			  struct list *out)
{
	for (size_t i = 0; bridge_mode(b) == MODE_ROUTED && !b->nat &&
	     i < b->address.n; i++) {
		struct cidr net = cidr_network(&b->address.v[i].cidr);
		const struct kaddr *host = lan_address(s, b, net.ip.family);
		_cleanup_free_ char *route = NULL;
		char text[CIDR_TEXT], via[IP_TEXT];

		if (!host || ip_is_linklocal6(&net.ip))
			continue;
		route = xasprintf("%s via %s", cidr_format(&net, text),
				  ip_format(&host->c.ip, via));
		list_add(out, route, (struct src){ 0 });
	}
}

void report_hints(const struct session *s)
{
	for (size_t i = 0; i < s->n_bridges; i++) {
		const struct bridge *b = s->bridges[i];
		struct list routes = { 0 };

		if (b->mode == MODE_AUTO && b->why)
			msg_info("%s: mode auto is %s: %s", b->name,
				 mode_names[bridge_mode(b)], b->why);
		routes_needed(s, b, &routes);
		for (size_t k = 0; k < routes.n; k++) {
			const char *r = routes.v[k].text;
			int net = strcspn(r, " ");

			msg_info("%s: the LAN's router needs a route: ip route "
				 "add %s%s%.*s%s%s%s", b->name, r,
				 strchr(r, ':') ? "" : " (or its DHCP server "
				 "hands it out: dhcp-option=121,", strchr(r, ':')
				 ? 0 : net, r, strchr(r, ':') ? "" : ",",
				 strchr(r, ':') ? "" : r + net + 5,
				 strchr(r, ':') ? "" : ")");
		}
		list_free(&routes);
	}
}

static json_t *routes_to_json(const struct session *s, const struct bridge *b)
{
	struct list routes = { 0 };
	json_t *a = json_array();

	routes_needed(s, b, &routes);
	for (size_t k = 0; k < routes.n; k++)
		json_array_append_new(a, json_string(routes.v[k].text));
	list_free(&routes);
	return a;
}

void report_plan(const struct session *s, const struct plan *p, bool json)
{
	json_t *ops;

	if (!json) {
		for (size_t i = 0; i < p->n; i++)
			printf("%-10s %s\n", class_names[p->v[i]->class],
			       p->v[i]->sentence);
		return;
	}
	ops = json_array();
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(ops, op_to_json(p->v[i]));
	dump_json(json_pack("{s:i, s:o, s:o, s:o}", "version", SCHEMA_VERSION,
			    "operations", ops, "modes", modes_to_json(s),
			    "warnings", warnings_to_json(p)));
}

/* ---- leases ----------------------------------------------------------- */

/* A guest's lease, NULL if it has none that still runs. */
static const struct lease *find_lease(const struct leases *l,
				      const struct mac *mac)
{
	for (size_t i = 0; i < l->n; i++)
		if (mac_equal(&l->v[i].mac, mac))
			return &l->v[i];
	return NULL;
}

static void lease_time_to_json(json_t *o, const struct lease *l)
{
	if (l->expiry)
		json_object_set_new(o, "lease_left_s", json_integer(
			l->expiry - (long)time(NULL)));
}

static json_t *lease_to_json(const struct session *s, const struct bridge *b,
			     const struct lease *l)
{
	const struct guest *blocked = lease_blocks(l, s->m, b), *holder = NULL;
	char ip[IP_TEXT], mac[MAC_TEXT];
	json_t *o;

	for (size_t i = 0; i < s->m->n_guests; i++)
		if (s->m->guests[i]->has_mac && s->m->guests[i]->bridge == b &&
		    mac_equal(&s->m->guests[i]->mac, &l->mac))
			holder = s->m->guests[i];
	o = json_pack("{s:s, s:s, s:s, s:s}", "lease", ip_format(&l->ip, ip),
		      "mac", mac_format(&l->mac, mac), "hostname", l->name,
		      "state", blocked ? "conflicting" : "active");
	lease_time_to_json(o, l);
	if (holder)
		json_object_set_new(o, "guest", json_string(holder->name));
	if (blocked)
		json_object_set_new(o, "reserved_for",
				    json_string(blocked->name));
	return o;
}

/* Reservations that nobody uses just now. */
static void add_reserved(const struct session *s, const struct bridge *b,
			 const struct leases *l, json_t *out)
{
	char mac[MAC_TEXT];

	for (size_t i = 0; i < s->m->n_guests; i++) {
		const struct guest *g = s->m->guests[i];
		const struct ip *ip = guest_ip(g, AF_INET);
		const struct lease *have;

		if (g->bridge != b || !g->has_mac || !ip)
			continue;
		have = find_lease(l, &g->mac);
		if (have && ip_equal(&have->ip, ip))
			continue;
		json_array_append_new(out, json_pack(
			"{s:s, s:s, s:s, s:s}", "lease",
			g->ip.v[0].text, "mac", mac_format(&g->mac, mac),
			"guest", g->name, "state", "reserved"));
	}
}

static const char *text(json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

static void print_lease(const char *bridge, json_t *o)
{
	json_t *left = json_object_get(o, "lease_left_s");

	printf("%-8s %-15s %s  %-11s %s", bridge, text(o, "lease"),
	       text(o, "mac"), text(o, "state"), *text(o, "guest") ?
	       text(o, "guest") : text(o, "hostname"));
	if (left)
		printf(" (%lld s left)", (long long)json_integer_value(left));
	if (*text(o, "reserved_for"))
		printf(", but it is reserved for %s", text(o, "reserved_for"));
	putchar('\n');
}

bool report_leases(const struct session *s, bool json)
{
	json_t *all = json_array(), *o;
	bool conflict = false;
	size_t k;

	for (size_t i = 0; i < s->n_bridges; i++) {
		const struct bridge *b = s->bridges[i];
		json_t *list = json_array();
		struct leases l;

		leases_load(&l, s->cli->root, b->name);
		for (size_t n = 0; n < l.n; n++)
			json_array_append_new(list, lease_to_json(s, b,
								  &l.v[n]));
		if (b->dhcp.present && b->dhcp.server == SERVER_OWN)
			add_reserved(s, b, &l, list);
		leases_free(&l);
		json_array_foreach(list, k, o) {
			conflict |= streq(text(o, "state"), "conflicting");
			if (!json)
				print_lease(b->name, o);
		}
		json_array_append_new(all, json_pack("{s:s, s:o}", "name",
						     b->name, "leases", list));
	}
	if (json)
		dump_json(json_pack("{s:i, s:o}", "version", SCHEMA_VERSION,
				    "bridges", all));
	else
		json_decref(all);
	return conflict;
}

/* ---- status ----------------------------------------------------------- */

static const char *port_states[] = { "disabled", "listening", "learning",
				     "forwarding", "blocking" };

static const char *link_word(const struct klink *l)
{
	return !l ? "missing" : !(l->flags & IFF_UP) ? "down" :
	       l->flags & KLINK_LOWER_UP ? "up" : "no-carrier";
}

static json_t *addresses_of(const struct session *s, const struct klink *l)
{
	json_t *a = json_array();
	char text[CIDR_TEXT];

	for (size_t i = 0; l && i < s->k.n_addrs; i++)
		if (s->k.addrs[i].index == l->index)
			json_array_append_new(a, json_string(cidr_format(
				&s->k.addrs[i].c, text)));
	return a;
}

static json_t *counters(const struct klink *l)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}",
			 "rx_bytes", (json_int_t)l->rx_bytes,
			 "rx_packets", (json_int_t)l->rx_packets,
			 "rx_dropped", (json_int_t)l->rx_dropped,
			 "tx_bytes", (json_int_t)l->tx_bytes,
			 "tx_packets", (json_int_t)l->tx_packets,
			 "tx_dropped", (json_int_t)l->tx_dropped);
}

static json_t *guest_to_json(const struct leases *l, const struct guest *g)
{
	json_t *o = json_object(), *ips = json_array();
	const struct lease *have;
	char text[MAC_TEXT], ip[IP_TEXT];

	for (size_t i = 0; i < g->ip.n; i++)
		json_array_append_new(ips, json_string(g->ip.v[i].text));
	json_object_set_new(o, "name", json_string(g->name));
	json_object_set_new(o, "reserved", ips);
	if (g->rate_in)
		json_object_set_new(o, "rate_in", json_integer(g->rate_in));
	if (g->rate_out)
		json_object_set_new(o, "rate_out",
				    json_integer(g->rate_out));
	if (g->has_mac) {
		json_object_set_new(o, "mac",
				    json_string(mac_format(&g->mac, text)));
		have = find_lease(l, &g->mac);
		if (have) {
			json_object_set_new(o, "lease", json_string(
				ip_format(&have->ip, ip)));
			lease_time_to_json(o, have);
		}
	}
	return o;
}

static json_t *port_to_json(const struct session *s, const struct leases *ls,
			    const struct klink *l, const char *name)
{
	const struct port *p = model_port(s->m, name);
	json_t *o = json_object();
	char mac[MAC_TEXT];

	json_object_set_new(o, "name", json_string(name));
	json_object_set_new(o, "state", json_string(link_word(l)));
	json_object_set_new(o, "netbr", json_boolean(l && klink_is_ours(l)));
	if (l) {
		json_object_set_new(o, "mac",
				    json_string(mac_format(&l->mac, mac)));
		json_object_set_new(o, "mtu", json_integer(l->mtu));
		if (l->master)
			json_object_set_new(o, "port_state", json_string(
				port_states[l->port_state % 5]));
		json_object_set_new(o, "counters", counters(l));
	}
	if (p && p->guest)
		json_object_set_new(o, "guest", guest_to_json(ls, p->guest));
	return o;
}

static bool is_port(const struct model *m, const struct bridge *b,
		    const char *name)
{
	const struct port *p = model_port(m, name);

	return p && p->bridge == b;
}

/* The ports the config wants, then those that are there besides. */
static json_t *ports_of(const struct session *s, const struct bridge *b,
			const struct klink *br)
{
	json_t *a = json_array();
	bool bridged = bridge_enslaves(b);
	struct leases ls;

	leases_load(&ls, s->cli->root, b->name);

	if (bridged)
		json_array_append_new(a, port_to_json(s, &ls, kstate_link(
			&s->k, b->uplink), b->uplink));
	for (size_t i = 0; i < b->ports.n; i++)
		json_array_append_new(a, port_to_json(s, &ls, kstate_link(
			&s->k, b->ports.v[i].text), b->ports.v[i].text));
	for (size_t i = 0; br && i < s->k.n_links; i++) {
		const struct klink *l = &s->k.links[i];

		if (l->master == br->index && !is_port(s->m, b, l->name) &&
		    !(bridged && streq(b->uplink, l->name)))
			json_array_append_new(a, port_to_json(s, &ls, l,
							      l->name));
	}
	leases_free(&ls);
	return a;
}

/* Who is meant by an address behind the uplink's MAC. */
static json_t *translations_of(const struct session *s, const struct bridge *b)
{
	json_t *a = json_array();
	struct translations t;
	char ip[IP_TEXT], mac[MAC_TEXT];

	translations_load(&t, b->name);
	for (size_t i = 0; i < t.n; i++) {
		json_t *o = json_pack("{s:s, s:s, s:b}", "ip",
				      ip_format(&t.v[i].ip, ip), "mac",
				      mac_format(&t.v[i].mac, mac), "learned",
				      t.v[i].learned);

		for (size_t k = 0; k < s->m->n_guests; k++) {
			const struct guest *g = s->m->guests[k];

			if (g->bridge == b && g->has_mac &&
			    mac_equal(&g->mac, &t.v[i].mac))
				json_object_set_new(o, "guest",
						    json_string(g->name));
		}
		if (t.v[i].learned)
			json_object_set_new(o, "age_s",
					    json_integer(t.v[i].age_s));
		json_array_append_new(a, o);
	}
	free(t.v);
	return a;
}

static json_t *bridge_to_json(const struct session *s,
			      const struct bridge *b)
{
	const struct klink *l = kstate_link(&s->k, b->name);
	json_t *o = json_object();
	char mac[MAC_TEXT];

	json_object_set_new(o, "name", json_string(b->name));
	json_object_set_new(o, "mode",
			    json_string(mode_names[bridge_mode(b)]));
	json_object_set_new(o, "state", json_string(link_word(l)));
	json_object_set_new(o, "uplink", b->uplink ?
			    json_string(b->uplink) : json_null());
	json_object_set_new(o, "addresses", addresses_of(s, l));
	if (l) {
		json_object_set_new(o, "mac",
				    json_string(mac_format(&l->mac, mac)));
		json_object_set_new(o, "mtu", json_integer(l->mtu));
		json_object_set_new(o, "stp", json_boolean(l->br.stp));
		json_object_set_new(o, "counters", counters(l));
	}
	if (b->mode == MODE_AUTO && b->why)
		json_object_set_new(o, "mode_reason", json_string(b->why));
	json_object_set_new(o, "ports", ports_of(s, b, l));
	if (bridge_mode(b) == MODE_MACNAT)
		json_object_set_new(o, "translations", translations_of(s, b));
	if (bridge_mode(b) == MODE_ROUTED && !b->nat)
		json_object_set_new(o, "routes_needed", routes_to_json(s, b));
	return o;
}

static void print_rate(json_t *g, const char *key)
{
	json_int_t r = json_integer_value(json_object_get(g, key));

	if (r)
		printf(" %s %g mbit", key, (double)r / 1e6);
}

static void print_guest(json_t *g)
{
	json_t *ips = json_object_get(g, "reserved");

	printf("  guest %s", text(g, "name"));
	for (size_t i = 0; i < json_array_size(ips); i++)
		printf("%s%s", i ? ", " : " reserved ",
		       json_string_value(json_array_get(ips, i)));
	print_rate(g, "rate_in");
	print_rate(g, "rate_out");
	if (*text(g, "lease"))
		printf(" lease %s (%lld s left)", text(g, "lease"),
		       (long long)json_integer_value(json_object_get(
			       g, "lease_left_s")));
}

static void print_translations(json_t *all)
{
	json_t *t;
	size_t i;

	json_array_foreach(all, i, t) {
		printf("  %-15s is %s at %s, ", text(t, "ip"), *text(t, "guest") ?
		       text(t, "guest") : "no declared guest", text(t, "mac"));
		if (json_is_true(json_object_get(t, "learned")))
			printf("seen %lld s ago\n", (long long)
			       json_integer_value(json_object_get(t, "age_s")));
		else
			puts("declared");
	}
}

static void print_bridge(json_t *b)
{
	json_t *a = json_object_get(b, "addresses"), *p;
	json_t *ports = json_object_get(b, "ports");
	size_t i;

	printf("%s: %s, %s", text(b, "name"), text(b, "mode"),
	       text(b, "state"));
	if (*text(b, "mode_reason"))
		printf(" (auto: %s)", text(b, "mode_reason"));
	if (*text(b, "mac"))
		printf(", MAC %s", text(b, "mac"));
	for (i = 0; i < json_array_size(a); i++)
		printf(", %s", json_string_value(json_array_get(a, i)));
	putchar('\n');
	json_array_foreach(ports, i, p) {
		json_t *c = json_object_get(p, "counters");

		printf("  %-15s %-10s", text(p, "name"), text(p, "state"));
		if (c)
			printf(" in %lld out %lld packets",
			       (long long)json_integer_value(json_object_get(
				       c, "rx_packets")),
			       (long long)json_integer_value(json_object_get(
				       c, "tx_packets")));
		if (json_object_get(p, "guest"))
			print_guest(json_object_get(p, "guest"));
		else if (c && !json_is_true(json_object_get(p, "netbr")))
			printf("  not netbr's");
		putchar('\n');
	}
	print_translations(json_object_get(b, "translations"));
	a = json_object_get(b, "routes_needed");
	for (i = 0; i < json_array_size(a); i++)
		printf("  the LAN needs   %s\n",
		       json_string_value(json_array_get(a, i)));
}

static json_t *drift_to_json(const struct plan *drift)
{
	json_t *a = json_array();

	for (size_t i = 0; i < drift->n; i++)
		if (drift->v[i]->attr)
			json_array_append_new(a, op_to_json(drift->v[i]));
	return a;
}

void report_status(const struct session *s, const struct plan *drift,
		   bool json)
{
	json_t *bridges = json_array(), *d = drift_to_json(drift), *o;
	int try_left = try_ask(s->cli->root, "status");
	size_t i;

	for (i = 0; i < s->n_bridges; i++)
		json_array_append_new(bridges,
				      bridge_to_json(s, s->bridges[i]));
	if (json) {
		o = json_pack("{s:i, s:o, s:o}", "version", SCHEMA_VERSION,
			      "bridges", bridges, "drift", d);
		if (try_left >= 0)
			json_object_set_new(o, "try_left_s",
					    json_integer(try_left));
		dump_json(o);
		return;
	}
	if (try_left >= 0)
		printf("a try waits for confirmation: %d s left\n", try_left);
	json_array_foreach(bridges, i, o)
		print_bridge(o);
	json_array_foreach(d, i, o)
		printf("drift: %s%s%s: wanted %s, is %s\n", text(o, "object"),
		       *text(o, "object") ? " " : "", text(o, "attribute"),
		       text(o, "wanted"), text(o, "actual"));
	json_decref(bridges);
	json_decref(d);
}
