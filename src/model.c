#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const char *const mode_names[MODE_COUNT] = {
	[MODE_AUTO] = "auto", [MODE_BRIDGED] = "bridged",
	[MODE_ROUTED] = "routed", [MODE_ISOLATED] = "isolated",
	[MODE_WDS] = "wds", [MODE_MACNAT] = "macnat",
	[MODE_PROXYARP] = "proxyarp",
};
const char *const firewall_names[FW_COUNT] = {
	"auto", "nftables", "iptables", "none"
};
const char *const foreign_names[2] = { "keep", "remove" };
const char *const server_names[3] = { "own", "system", "none" };
const char *const host_names[2] = { "bridge", "uplink" };
const char *const nic_names[2] = { "e1000", "virtio-net-pci" };
const char *const port_type_names[2] = { "tap", "existing" };

bool guest_filtered(const struct guest *g)
{
	return g->tap && g->has_mac && g->filter;
}

struct item *list_add(struct list *l, const char *text, struct src src)
{
	struct item *it;

	ARRAY_GROW(l->v, l->n);
	it = &l->v[l->n++];
	*it = (struct item){ .src = src, .text = xstrdup(text) };
	return it;
}

void list_free(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
	*l = (struct list){ 0 };
}

bool list_has(const struct list *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i].text, text))
			return true;
	return false;
}

struct model *model_new(void)
{
	return xcalloc(1, sizeof(struct model));
}

static void bridge_free(struct bridge *b)
{
	struct list *lists[] = { &b->ports, &b->address, &b->gateway,
				 &b->routes, &b->coexist, &b->dhcp.range,
				 &b->dhcp.router, &b->dhcp.dns,
				 &b->dhcp.options };

	for (size_t i = 0; i < N_ELEMENTS(lists); i++)
		list_free(lists[i]);
	free(b->uplink);
	free(b->dhcp.ranges);
	free(b->dhcp.lease_time);
	free(b->dhcp.domain);
	free(b);
}

static void guest_free(struct guest *g)
{
	free(g->name);
	free(g->bridge_name);
	free(g->tap);
	free(g->hostname);
	free(g->owner);
	free(g->group);
	list_free(&g->ip);
	list_free(&g->forward);
	free(g->forwards);
	free(g);
}

static void port_free(struct port *p)
{
	free(p->name);
	free(p->bridge_name);
	free(p->owner);
	free(p->group);
	free(p);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_bridges; i++)
		bridge_free(m->bridges[i]);
	for (size_t i = 0; i < m->n_guests; i++)
		guest_free(m->guests[i]);
	for (size_t i = 0; i < m->n_ports; i++)
		port_free(m->ports[i]);
	strmap_free(&m->by_name);
	free(m->bridges);
	free(m->guests);
	free(m->ports);
	list_free(&m->interfaces);
	free(m->file);
	free(m);
}

/* Names have 63 characters at most; a longer one is none of ours. */
#define KEY_SIZE 72

static const char *name_key(char key[KEY_SIZE], char kind, const char *name)
{
	size_t n = strlen(name);

	if (n > KEY_SIZE - 3)
		n = KEY_SIZE - 3;
	key[0] = kind;
	key[1] = ':';
	memcpy(key + 2, name, n);
	key[2 + n] = '\0';
	return key;
}

static void *index_name(struct model *m, char kind, const char *name,
			void *object)
{
	char key[KEY_SIZE];

	return strmap_put(&m->by_name, name_key(key, kind, name), object);
}

static void *find_name(const struct model *m, char kind, const char *name)
{
	char key[KEY_SIZE];

	return strmap_get(&m->by_name, name_key(key, kind, name));
}

struct bridge *model_add_bridge(struct model *m, const char *name,
				struct src src)
{
	struct bridge *b = xcalloc(1, sizeof(*b));

	str_put(b->name, sizeof(b->name), name);
	b->src = src;
	ARRAY_GROW(m->bridges, m->n_bridges);
	m->bridges[m->n_bridges++] = b;
	index_name(m, 'b', name, b);
	return b;
}

struct guest *model_add_guest(struct model *m, const char *name,
			      struct src src)
{
	struct guest *g = xcalloc(1, sizeof(*g));

	g->name = xstrdup(name);
	g->src = src;
	ARRAY_GROW(m->guests, m->n_guests);
	m->guests[m->n_guests++] = g;
	index_name(m, 'g', name, g);
	return g;
}

struct port *model_add_port(struct model *m, const char *name, struct src src)
{
	struct port *p = xcalloc(1, sizeof(*p));

	p->name = xstrdup(name);
	p->src = src;
	ARRAY_GROW(m->ports, m->n_ports);
	m->ports[m->n_ports++] = p;
	index_name(m, 'p', name, p);
	return p;
}

struct bridge *model_bridge(const struct model *m, const char *name)
{
	return find_name(m, 'b', name);
}

struct guest *model_guest(const struct model *m, const char *name)
{
	return find_name(m, 'g', name);
}

struct port *model_port(const struct model *m, const char *name)
{
	return find_name(m, 'p', name);
}

const struct cidr *bridge_address(const struct bridge *b, int family)
{
	for (size_t i = 0; i < b->address.n; i++)
		if (b->address.v[i].cidr.ip.family == family)
			return &b->address.v[i].cidr;
	return NULL;
}

const struct ip *guest_ip(const struct guest *g, int family)
{
	for (size_t i = 0; i < g->ip.n; i++)
		if (g->ip.v[i].cidr.ip.family == family)
			return &g->ip.v[i].cidr.ip;
	return NULL;
}

enum mode bridge_mode(const struct bridge *b)
{
	if (b->mode != MODE_AUTO)
		return b->mode;
	if (b->chosen != MODE_AUTO)
		return b->chosen;
	if (b->uplink)
		return MODE_BRIDGED;
	return b->address.n || b->address_dhcp ? MODE_ROUTED : MODE_ISOLATED;
}

bool bridge_routes(const struct bridge *b)
{
	enum mode mode = bridge_mode(b);

	return mode == MODE_ROUTED || mode == MODE_PROXYARP;
}

bool bridge_carries(const struct bridge *b, int family)
{
	if (bridge_mode(b) == MODE_PROXYARP)
		return family == AF_INET || b->guests6 ||
		       bridge_address(b, AF_INET6);
	return bridge_routes(b) && bridge_address(b, family);
}

bool bridge_takes_over(const struct bridge *b)
{
	enum mode mode = bridge_mode(b);

	return b->uplink && (mode == MODE_BRIDGED || mode == MODE_WDS ||
			     (mode == MODE_MACNAT && b->host == HOST_BRIDGE));
}

bool bridge_has_veth(const struct bridge *b)
{
	return b->uplink && bridge_mode(b) == MODE_MACNAT &&
	       (b->no_port || b->host == HOST_UPLINK);
}

bool bridge_enslaves(const struct bridge *b)
{
	return bridge_takes_over(b) && !bridge_has_veth(b);
}

void bridge_veth(const struct bridge *b, char port[IFNAMSIZ],
		 char outer[IFNAMSIZ])
{
	char stem[IFNAMSIZ];

	/* a long name gives way to its hash */
	if (strlen(b->name) + 4 < IFNAMSIZ)
		str_put(stem, sizeof(stem), b->name);
	else
		snprintf(stem, sizeof(stem), "nb%08x", (unsigned int)
			 fnv64(1, b->name, strlen(b->name)));
	snprintf(port, IFNAMSIZ, "%.11s-up", stem);
	snprintf(outer, IFNAMSIZ, "%.11s-out", stem);
}

struct mac bridge_stable_mac(const struct bridge *b, const char *seed)
{
	_cleanup_free_ char *text = xasprintf("%s/%s", seed, b->name);

	return mac_from_text(0x52, text);
}

static bool port_parse(const char *s, unsigned int *out)
{
	unsigned long v;

	if (!uint_parse(s, 1, 65535, &v))
		return false;
	*out = v;
	return true;
}

/* "HOST:PORT" or "PORT". */
static bool host_port_parse(char *s, struct forward *out)
{
	char *colon = strrchr(s, ':');

	if (!colon)
		return port_parse(s, &out->host_port);
	*colon = '\0';
	if (*s == '[' && colon > s && colon[-1] == ']') {
		colon[-1] = '\0';
		s++;
	} else if (strchr(s, ':')) {
		return false;
	}
	return ip_parse(s, &out->host) && port_parse(colon + 1,
						     &out->host_port);
}

bool forward_parse(const char *text, struct forward *out)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *save = NULL, *w = strtok_r(copy, " ", &save), *slash, *colon;
	char *from = strtok_r(NULL, " ", &save);
	char *net = strtok_r(NULL, " ", &save);

	*out = (struct forward){ 0 };
	if (!w || (from && (!streq(from, "from") || !net ||
			    strtok_r(NULL, " ", &save) ||
			    !cidr_parse(net, true, &out->from))))
		return false;
	slash = strchr(w, '/');
	if (slash) {
		*slash++ = '\0';
		out->udp = streq(slash, "udp");
		if (!out->udp && !streq(slash, "tcp"))
			return false;
	}
	colon = strrchr(w, ':');
	if (!colon)
		return false;
	*colon = '\0';
	if (out->from.ip.family)
		out->from = cidr_network(&out->from);
	return port_parse(colon + 1, &out->guest_port) &&
	       host_port_parse(w, out);
}

/* The address that a link-local or SLAAC interface forms from its MAC
 * (RFC 4291, appendix A). */
static struct ip eui64(const struct cidr *net, const struct mac *m)
{
	struct ip a = cidr_network(net).ip;

	a.b[8] = m->b[0] ^ 2;
	a.b[9] = m->b[1];
	a.b[10] = m->b[2];
	a.b[11] = 0xff;
	a.b[12] = 0xfe;
	memcpy(a.b + 13, m->b + 3, 3);
	return a;
}

struct list_of_ips guest_own6(const struct guest *g)
{
	static const struct cidr link_local = {
		.ip = { AF_INET6, { 0xfe, 0x80 } }, .plen = 64
	};
	struct list_of_ips own = { 0 };

	ARRAY_GROW(own.v, own.n);
	own.v[own.n++] = eui64(&link_local, &g->mac);
	for (size_t i = 0; i < g->bridge->address.n; i++) {
		const struct cidr *c = &g->bridge->address.v[i].cidr;

		if (c->ip.family != AF_INET6 || c->plen != 64)
			continue;
		ARRAY_GROW(own.v, own.n);
		own.v[own.n++] = eui64(c, &g->mac);
	}
	for (size_t i = 0; i < g->ip.n; i++) {
		if (g->ip.v[i].cidr.ip.family != AF_INET6)
			continue;
		ARRAY_GROW(own.v, own.n);
		own.v[own.n++] = g->ip.v[i].cidr.ip;
	}
	return own;
}

bool port_isolated(const struct port *p)
{
	if (p->guest)
		return p->guest->isolate;
	return p->type == PORT_TAP && p->bridge && p->bridge->isolate;
}

struct mac port_default_mac(const struct port *p)
{
	struct mac m;

	if (p->guest && p->guest->has_mac) {
		m = p->guest->mac;
		/* a guest that is itself fe:... must still differ */
		m.b[0] = m.b[0] == 0xfe ? 0xfa : 0xfe;
		return m;
	}
	return mac_from_text(0xfe, p->name);
}
