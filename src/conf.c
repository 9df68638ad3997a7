/* vmnet.conf to model. The only file that knows libconfuse. */
#include <confuse.h>
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "confval.h"
#include "scrub.h"

/* The sections of the language. `at` is where the object's places begin. */
struct table {
	const char *section;
	const struct key *keys;
	size_t n;
	size_t at;
};

/* ---- the language ----------------------------------------------------- */

#define B(f) offsetof(struct bridge, f)
#define D(f) offsetof(struct bridge, dhcp.f)
#define G(f) offsetof(struct guest, f)
#define P(f) offsetof(struct port, f)
#define ENUM(n) .names = (n), .max = N_ELEMENTS(n)

static const struct key bridge_keys[BK_COUNT] = {
	[BK_MODE] = { "mode", conf_set_enum, B(mode), ENUM(mode_names) },
	[BK_UPLINK] = { "uplink", conf_set_ifname, B(uplink) },
	[BK_PORTS] = { "ports", conf_add_ifname, B(ports), .list = true },
	[BK_ADDRESS] = { "address", conf_add_address, B(address), .list = true },
	[BK_GATEWAY] = { "gateway", conf_add_ip, B(gateway), .list = true },
	[BK_ROUTES] = { "routes", conf_add_route, B(routes), .list = true },
	[BK_MAC] = { "mac", conf_set_bridge_mac, B(mac) },
	[BK_MTU] = { "mtu", conf_set_uint, B(mtu), .min = 68, .max = 65535 },
	[BK_STP] = { "stp", conf_set_bool, B(stp) },
	[BK_FORWARD_DELAY] = { "forward_delay", conf_set_time,
			       B(forward_delay_cs), .max = 99999 },
	[BK_HELLO_TIME] = { "hello_time", conf_set_time, B(hello_time_cs),
			    .min = 100, .max = 1000 },
	[BK_MAX_AGE] = { "max_age", conf_set_time, B(max_age_cs), .min = 600,
			 .max = 4000 },
	[BK_AGEING_TIME] = { "ageing_time", conf_set_time, B(ageing_time_cs),
			     .max = 100000000 },
	[BK_PRIORITY] = { "priority", conf_set_uint, B(priority), .max = 65535 },
	[BK_NAT] = { "nat", conf_set_bool, B(nat) },
	[BK_FILTER] = { "filter", conf_set_bool, B(filter) },
	[BK_ISOLATE] = { "isolate", conf_set_bool, B(isolate) },
	[BK_FOREIGN_PORTS] = { "foreign_ports", conf_set_enum, B(foreign_ports),
			       ENUM(foreign_names) },
	[BK_HOST] = { "host", conf_set_enum, B(host), ENUM(host_names) },
	[BK_PROBE] = { "probe", conf_set_bool, B(probe) },
	[BK_COEXIST] = { "coexist", conf_add_word, B(coexist), .list = true },
};

static const struct key dhcp_keys[DK_COUNT] = {
	[DK_RANGE] = { "range", conf_add_ip, D(range), .list = true },
	[DK_LEASE_TIME] = { "lease_time", conf_set_lease_time, D(lease_time) },
	[DK_ROUTER] = { "router", conf_add_ip, D(router), .list = true },
	[DK_DNS] = { "dns", conf_add_ip, D(dns), .list = true },
	[DK_DOMAIN] = { "domain", conf_set_domain, D(domain) },
	[DK_OPTIONS] = { "options", conf_add_option, D(options), .list = true },
	[DK_SERVER] = { "server", conf_set_enum, D(server), ENUM(server_names) },
};

static const struct key guest_keys[GK_COUNT] = {
	[GK_BRIDGE] = { "bridge", conf_set_ifname, G(bridge_name) },
	[GK_TAP] = { "tap", conf_set_tap, G(tap) },
	[GK_MAC] = { "mac", conf_set_guest_mac, G(mac) },
	[GK_IP] = { "ip", conf_add_ip, G(ip), .list = true },
	[GK_HOSTNAME] = { "hostname", conf_set_hostname, G(hostname) },
	[GK_OWNER] = { "owner", conf_set_account, G(owner) },
	[GK_GROUP] = { "group", conf_set_account, G(group) },
	[GK_QUEUES] = { "queues", conf_set_uint, G(queues), .min = 1, .max = 256 },
	[GK_VNET_HDR] = { "vnet_hdr", conf_set_bool, G(vnet_hdr) },
	[GK_MODEL] = { "model", conf_set_enum, G(model), ENUM(nic_names) },
	[GK_FORWARD] = { "forward", conf_add_forward, G(forward), .list = true },
	[GK_FILTER] = { "filter", conf_set_bool, G(filter) },
	[GK_ISOLATE] = { "isolate", conf_set_bool, G(isolate) },
	[GK_RATE_IN] = { "rate_in", conf_set_rate, G(rate_in) },
	[GK_RATE_OUT] = { "rate_out", conf_set_rate, G(rate_out) },
};

static const struct key port_keys[PK_COUNT] = {
	[PK_TYPE] = { "type", conf_set_enum, P(type), ENUM(port_type_names) },
	[PK_BRIDGE] = { "bridge", conf_set_ifname, P(bridge_name) },
	[PK_MAC] = { "mac", conf_set_port_mac, P(mac) },
	[PK_MTU] = { "mtu", conf_set_uint, P(mtu), .min = 68, .max = 65535 },
	[PK_OWNER] = { "owner", conf_set_account, P(owner) },
	[PK_GROUP] = { "group", conf_set_account, P(group) },
	[PK_QUEUES] = { "queues", conf_set_uint, P(queues), .min = 1, .max = 256 },
	[PK_VNET_HDR] = { "vnet_hdr", conf_set_bool, P(vnet_hdr) },
};

static const struct table bridge_table = { "bridge", bridge_keys, BK_COUNT,
					   B(at) };
static const struct table dhcp_table = { "bridge/dhcp", dhcp_keys, DK_COUNT,
					 D(at) };
static const struct table guest_table = { "guest", guest_keys, GK_COUNT,
					  G(at) };
static const struct table port_table = { "interface", port_keys, PK_COUNT,
					 P(at) };
static const struct table *const tables[] = { &bridge_table, &dhcp_table,
					      &guest_table, &port_table };

static const struct key firewall_key = {
	"firewall", conf_set_enum, offsetof(struct model, firewall),
	ENUM(firewall_names)
};
static const struct key interfaces_key = {
	"interfaces", conf_add_ifname, offsetof(struct model, interfaces),
	.list = true
};

static const char *const flat_prefixes[] = { "bridge_", "brctl_", "config_",
					     "routes_", "mac_", "tuntap_" };

/* The interface a flat key speaks of, or NULL if it is none. */
static const char *flat_ifname(const char *key)
{
	for (size_t i = 0; i < N_ELEMENTS(flat_prefixes); i++)
		if (str_begins(key, flat_prefixes[i]) &&
		    key[strlen(flat_prefixes[i])])
			return key + strlen(flat_prefixes[i]);
	return NULL;
}

/* ---- setting fields --------------------------------------------------- */

/* Sets one key of an object from all its values. */
static void set_key(const struct table *t, unsigned int key, void *obj,
		    const struct item *v, size_t n, struct src place)
{
	const struct key *k = &t->keys[key];
	struct src *at = (struct src *)((char *)obj + t->at) + key;

	if (at->line) {
		diag_error(place, NULL, "'%s' is set here and at %s:%d: keep "
			   "one of the two", k->name, at->file, at->line);
		return;
	}
	*at = place;
	if (k->later) {
		diag_error(place, k->name, "'%s' is not yet available in this "
			   "version: take it out", k->name);
		return;
	}
	if (!k->list && n != 1) {
		diag_error(place, k->name, "'%s' takes one value, not %zu",
			   k->name, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		k->set(obj, k, &v[i]);
}

/* ---- the pre-scan: unknown, repeated and misplaced keys ---------------- */

/* The sections of one type, in the order of the files. */
struct sections {
	const char *type;
	const struct scan_item **v;
	size_t n;
};

enum section_type { SEC_BRIDGE, SEC_GUEST, SEC_PORT, SEC_COUNT };

struct conf {
	struct model *m;
	struct scrubbed *files;
	size_t n_files;
	struct strmap index;	/* sections and top-level keys, where they
				 * stand first; by seen_name() */
	struct sections sections[SEC_COUNT];
	uint32_t used[N_ELEMENTS(tables)];	/* bit k: key k of the table
						 * is in some section */
	char **flat;		/* names of flat keys met so far */
	size_t n_flat;
	bool broken;		/* libconfuse gave up on a file */
};

static bool known_section(const char *type)
{
	return streq(type, "bridge") || streq(type, "guest") ||
	       streq(type, "interface");
}

static const struct table *find_table(const char *section)
{
	for (size_t i = 0; i < N_ELEMENTS(tables); i++)
		if (streq(tables[i]->section, section))
			return tables[i];
	return NULL;
}

/* The keys of a table that the files use, one bit each. libconfuse copies all
 * options of a section for each one it meets: it is told of these alone. */
static uint32_t *used_keys(struct conf *c, const struct table *t)
{
	for (size_t i = 0; i < N_ELEMENTS(tables); i++)
		if (tables[i] == t)
			return &c->used[i];
	return NULL;
}

static void complain_unknown(const struct scan_item *it,
			     const char *const *words, size_t n)
{
	const char *near = str_nearest(it->key, words, n);
	const char *kind = it->name ? "section" : "key";

	if (near)
		diag_error(it->src, it->key,
			   "unknown %s '%s': did you mean '%s'?", kind,
			   it->key, near);
	else if (*it->section)
		diag_error(it->src, it->key,
			   "'%s' is no %s of a %s section", it->key, kind,
			   it->section);
	else
		diag_error(it->src, it->key, "unknown %s '%s'", kind, it->key);
}

/* Is this item something the language knows, where it stands? *key is the
 * number of a section's key in its table. */
static bool item_known(const struct scan_item *it, const struct table *t,
		       size_t *key)
{
	static const char *const top[] = {
		"firewall", "interfaces", "dhcp-host", "bridge", "guest",
		"interface",
	};
	const char *words[32];
	size_t n = 0;

	if (!*it->section) {
		if (it->name ? known_section(it->key)
			     : (flat_ifname(it->key) ||
				streq(it->key, "firewall") ||
				streq(it->key, "interfaces") ||
				streq(it->key, "dhcp-host")))
			return true;
		complain_unknown(it, top, N_ELEMENTS(top));
		return false;
	}
	if (!t)
		return true;	/* inside an unknown section: said already */
	for (size_t i = 0; i < t->n; i++) {
		*key = i;
		if (!it->name && *it->key == *t->keys[i].name &&
		    streq(it->key, t->keys[i].name))
			return true;
		words[n++] = t->keys[i].name;
	}
	if (t == &bridge_table) {
		if (it->name && streq(it->key, "dhcp"))
			return true;
		if (it->name && streq(it->key, "overlay")) {
			diag_error(it->src, it->key, "'overlay' is not yet "
				   "available in this version: take it out");
			return false;
		}
		words[n++] = "dhcp";
	}
	complain_unknown(it, words, n);
	return false;
}

static bool title_ok(const struct scan_item *it)
{
	struct item v = { .src = it->src, .text = (char *)it->name };

	if (!it->name)
		return true;
	if (*it->section) {
		if (!*it->name)
			return true;
		diag_error(it->src, it->name, "a '%s' section takes no name",
			   it->key);
		return false;
	}
	if (!*it->name) {
		diag_error(it->src, it->key, "this section needs a name: "
			   "%s NAME { ... }", it->key);
		return false;
	}
	if (!streq(it->key, "guest"))
		return conf_ifname_value(&v);
	if (name_ok(it->name, 63))
		return true;
	return conf_wrong(&v, "'%s' can't be a guest's name: use letters, digits, "
		     "'.', '_' and '-', at most 63", it->name);
}

/* What makes two items the same one; good until the next call. */
static const char *seen_name(const struct scan_item *it)
{
	static struct buf b;
	const char *const parts[] = {
		it->section, "\n", it->title, "\n", it->key, "\n",
		!it->name ? "=" : *it->section ? "" : it->name,
	};

	b.len = 0;
	for (size_t i = 0; i < N_ELEMENTS(parts); i++)
		buf_puts(&b, parts[i]);
	return buf_str(&b);
}

/* Keeps what is new: libconfuse needs the names of all flat keys, and gets
 * sections without their titles, which it would compare each with each. */
static void remember(struct conf *c, struct scrubbed *s,
		     const struct scan_item *it)
{
	if (*it->section)
		return;
	for (size_t i = 0; it->name && i < SEC_COUNT; i++) {
		struct sections *all = &c->sections[i];

		if (!streq(it->key, all->type))
			continue;
		ARRAY_GROW(all->v, all->n);
		all->v[all->n++] = it;
		scrub_blank_name(s, it);
	}
	if (!it->name && flat_ifname(it->key)) {
		ARRAY_GROW(c->flat, c->n_flat);
		c->flat[c->n_flat++] = xstrdup(it->key);
	}
}

#define MAX_KEYS 32
_Static_assert(BK_COUNT <= MAX_KEYS && (int)GK_COUNT <= MAX_KEYS &&
	       (int)PK_COUNT <= MAX_KEYS && (int)DK_COUNT <= MAX_KEYS,
	       "a table has more keys");

/* Reports what is unknown or repeated, and blanks it, so that libconfuse
 * can go on to the next mistake. */
static void prescan(struct conf *c, struct scrubbed *s)
{
	/* keys of the section, and of the one within it, that is open */
	const struct scan_item *keys[2][MAX_KEYS] = { { NULL } };
	size_t blank_end = 0;

	for (size_t i = 0; i < s->n_items; i++) {
		const struct scan_item *it = &s->items[i], *old;
		const struct table *t = find_table(it->section);
		size_t k = 0;

		if (it->beg < blank_end)
			continue;
		if (!item_known(it, t, &k) || !title_ok(it)) {
			scrub_blank(s, it);
			blank_end = it->end;
			continue;
		}
		if (!it->name && t) {
			const struct scan_item **at = &keys[t == &dhcp_table]
							  [k];

			old = *at;
			if (!old)
				*at = it;
			*used_keys(c, t) |= UINT32_C(1) << k;
		} else {
			old = strmap_put(&c->index, seen_name(it), (void *)it);
			if (it->name)
				memset(keys[*it->section ? 1 : 0], 0,
				       sizeof(keys[0]));
		}
		if (!old) {
			remember(c, s, it);
		} else if (!it->append) {
			diag_error(it->src, it->name && *it->name ? it->name :
				   it->key, "%s '%s' is given here and at "
				   "%s:%d: keep one of the two",
				   it->name ? "section" : "key",
				   it->name && *it->name ? it->name : it->key,
				   old->src.file, old->src.line);
			scrub_blank(s, it);
			blank_end = it->end;
		}
	}
}

/* ---- libconfuse ------------------------------------------------------- */

static const char *current_file;	/* the lexer is global, so is this */

static int value_cb(cfg_t *cfg, cfg_opt_t *opt, const char *value,
		    void *result)
{
	size_t len = strlen(value) + 1;
	struct item *v = xcalloc(1, sizeof(*v) + len);

	(void)opt;
	v->src = (struct src){ current_file, cfg->line };
	v->text = memcpy(v + 1, value, len);
	*(void **)result = v;
	return 0;
}

static void PRINTF(2, 0) on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_vprintf(&b, fmt, ap);
	diag_error((struct src){ current_file, cfg->line }, NULL,
		   "syntax: %s", buf_str(&b));
}

static cfg_opt_t value_opt(const char *name)
{
	cfg_opt_t o = CFG_PTR_LIST_CB("", 0, CFGF_NODEFAULT, value_cb,
				      free);

	o.name = name;
	return o;
}

/* The options of one section; terminated, owned by the caller. */
static cfg_opt_t *table_opts(struct conf *c, const struct table *t,
			     cfg_opt_t *sub)
{
	static const cfg_opt_t end = CFG_END();
	cfg_opt_t *o = xcalloc(t->n + 2, sizeof(*o));
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (*used_keys(c, t) >> i & 1)
			o[n++] = value_opt(t->keys[i].name);
	if (sub) {
		cfg_opt_t dhcp = CFG_SEC("dhcp", sub, CFGF_NONE);

		o[n++] = dhcp;
	}
	o[n] = end;
	return o;
}

static cfg_t *make_parser(struct conf *c)
{
	_cleanup_free_ cfg_opt_t *dhcp = table_opts(c, &dhcp_table, NULL);
	_cleanup_free_ cfg_opt_t *bridge = table_opts(c, &bridge_table, dhcp);
	_cleanup_free_ cfg_opt_t *guest = table_opts(c, &guest_table, NULL);
	_cleanup_free_ cfg_opt_t *port = table_opts(c, &port_table, NULL);
	_cleanup_free_ cfg_opt_t *root = xcalloc(c->n_flat + 7, sizeof(*root));
	cfg_opt_t sections[] = { CFG_SEC("bridge", bridge, CFGF_MULTI),
				 CFG_SEC("guest", guest, CFGF_MULTI),
				 CFG_SEC("interface", port, CFGF_MULTI),
				 CFG_END() };
	size_t n = 0;
	cfg_t *cfg;

	root[n++] = value_opt("firewall");
	root[n++] = value_opt("interfaces");
	root[n++] = value_opt("dhcp-host");
	for (size_t i = 0; i < c->n_flat; i++)
		root[n++] = value_opt(c->flat[i]);
	for (size_t i = 0; i < N_ELEMENTS(sections); i++)
		root[n++] = sections[i];
	cfg = cfg_init(root, CFGF_NONE);	/* copies the tables */
	if (cfg)
		cfg_set_error_function(cfg, on_error);
	return cfg;
}

static bool parse_buffer(cfg_t *cfg, const struct scrubbed *s)
{
	_cleanup_file_ FILE *f = NULL;

	if (!s->len || strspn(s->text, " \t\n") == s->len)
		return true;	/* fmemopen dislikes nothing */
	f = fmemopen(s->text, s->len, "r");
	if (!f)
		return false;
	free(cfg->filename);
	cfg->filename = strdup(s->file);
	current_file = s->file;
	return cfg_parse_fp(cfg, f) == CFG_SUCCESS;
}

/* ---- from libconfuse's tree to the model ------------------------------- */

/* All values of an option, borrowed from it; *n is 0 if it is not set. */
static struct item *values_of(cfg_opt_t *opt, size_t *n)
{
	struct item *v;

	*n = opt ? cfg_opt_size(opt) : 0;
	v = xcalloc(*n, sizeof(*v));
	for (size_t i = 0; i < *n; i++)
		v[i] = *(struct item *)cfg_opt_getnptr(opt, i);
	return v;
}

static struct item *opt_values(cfg_t *sec, const char *name, size_t *n)
{
	return values_of(cfg_getopt(sec, name), n);
}

/* Where a section's key stands: asked only of an empty list, whose values
 * can't tell. */
static struct src key_place(const struct conf *c, const char *section,
			    const char *title, const char *key)
{
	for (size_t f = 0; f < c->n_files; f++) {
		const struct scrubbed *s = &c->files[f];

		for (size_t i = 0; i < s->n_items; i++) {
			const struct scan_item *it = &s->items[i];

			if (!it->name && streq(it->key, key) &&
			    streq(it->section, section) &&
			    streq(it->title, title))
				return it->src;
		}
	}
	return (struct src){ 0 };
}

static void load_keys(struct conf *c, const struct table *t, cfg_t *sec,
		      const char *title, void *obj)
{
	/* table_opts() has made them in the table's order */
	cfg_opt_t *opt = cfg_getnopt(sec, 0);

	for (unsigned int i = 0; opt && i < t->n; i++) {
		_cleanup_free_ struct item *v = NULL;
		size_t n;

		if (!(*used_keys(c, t) >> i & 1))
			continue;
		n = cfg_opt_size(opt);

		if (n == 1) {
			struct item *one = cfg_opt_getnptr(opt, 0);

			set_key(t, i, obj, one, 1, one->src);
		} else if (n || opt->flags & CFGF_MODIFIED) {
			/* an empty list is set too: ports = {} */
			v = values_of(opt, &n);
			set_key(t, i, obj, v, n, n ? v[0].src :
				key_place(c, t->section, title,
					  t->keys[i].name));
		}
		opt++;
	}
}

static void load_bridge(struct conf *c, cfg_t *sec, const struct scan_item *it)
{
	struct scan_item dhcp = { .section = "bridge", .title = it->name,
				  .key = "dhcp", .name = "" };
	struct bridge *b = model_add_bridge(c->m, it->name, it->src);
	const struct scan_item *seen;

	load_keys(c, &bridge_table, sec, it->name, b);
	seen = strmap_get(&c->index, seen_name(&dhcp));
	if (!seen)
		return;
	b->dhcp.present = true;
	b->dhcp.src = seen->src;
	load_keys(c, &dhcp_table, cfg_getsec(sec, "dhcp"), it->name, b);
}

static void load_guest(struct conf *c, cfg_t *sec, const struct scan_item *it)
{
	load_keys(c, &guest_table, sec, it->name,
		  model_add_guest(c->m, it->name, it->src));
}

static void load_port(struct conf *c, cfg_t *sec, const struct scan_item *it)
{
	struct port *p = model_add_port(c->m, it->name, it->src);

	p->declared = true;
	load_keys(c, &port_table, sec, it->name, p);
}

/* libconfuse has met the sections in the order in which the pre-scan has. */
static void load_sections(struct conf *c, cfg_t *cfg, enum section_type type,
			  void (*load)(struct conf *c, cfg_t *sec,
				       const struct scan_item *it))
{
	const struct sections *all = &c->sections[type];
	cfg_opt_t *opt = cfg_getopt(cfg, all->type);

	if (cfg_opt_size(opt) != all->n) {
		/* then it has also complained of the syntax */
		c->broken = true;
		return;
	}
	for (unsigned int i = 0; i < all->n; i++)
		load(c, cfg_opt_getnsec(opt, i), all->v[i]);
}

/* ---- the flat keys ---------------------------------------------------- */

/* The words of all values: "a b" is { a, b }. Texts are owned by *out. */
static void split_words(const struct item *v, size_t n, struct list *out)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *text = xstrdup(v[i].text);
		char *save = NULL;

		for (char *w = strtok_r(text, " \t", &save); w;
		     w = strtok_r(NULL, " \t", &save))
			list_add(out, w, v[i].src);
	}
}

static struct bridge *flat_bridge(struct conf *c, const char *name,
				  struct src src)
{
	struct bridge *b = model_bridge(c->m, name);

	return b ? b : model_add_bridge(c->m, name, src);
}

static struct port *flat_port(struct conf *c, const char *name,
			      struct src src)
{
	struct port *p = model_port(c->m, name);

	return p ? p : model_add_port(c->m, name, src);
}

static void flat_set_bridge(struct conf *c, const char *name,
			    enum bridge_key key, const struct list *w,
			    struct src src)
{
	set_key(&bridge_table, key, flat_bridge(c, name, src), w->v, w->n,
		src);
}

/* brctl's commands, in seconds: "setfd 0 stp on sethello 1". */
static void flat_brctl(struct conf *c, const char *name, const struct list *w,
		       struct src src)
{
	static const struct {
		const char *word;
		enum bridge_key key;
	} commands[] = {
		{ "setfd", BK_FORWARD_DELAY }, { "sethello", BK_HELLO_TIME },
		{ "setmaxage", BK_MAX_AGE }, { "setageing", BK_AGEING_TIME },
		{ "setbridgeprio", BK_PRIORITY }, { "stp", BK_STP },
	};

	flat_bridge(c, name, src);
	for (size_t i = 0; i < w->n; i++) {
		size_t k = 0;

		while (k < N_ELEMENTS(commands) &&
		       !streq(w->v[i].text, commands[k].word))
			k++;
		if (k == N_ELEMENTS(commands)) {
			diag_error(w->v[i].src, w->v[i].text, "'%s' is no "
				   "brctl command known here: use setfd, "
				   "sethello, setmaxage, setageing, "
				   "setbridgeprio or stp", w->v[i].text);
			return;
		}
		if (++i == w->n) {
			diag_error(w->v[i - 1].src, w->v[i - 1].text,
				   "brctl's '%s' needs a value",
				   w->v[i - 1].text);
			return;
		}
		set_key(&bridge_table, commands[k].key,
			flat_bridge(c, name, src), &w->v[i], 1, w->v[i].src);
	}
}

/* netifrc's config_X: addresses, "A netmask M", "brd +", null. */
static void flat_config(struct conf *c, const char *name, struct list *w,
			struct src src)
{
	struct list out = { 0 };

	if (w->n == 1 && (streq(w->v[0].text, "null") ||
			  streq(w->v[0].text, "noop")))
		return;
	if (!model_bridge(c->m, name)) {
		diag_error(src, NULL, "'%s' is no bridge: only config_%s = "
			   "\"null\" is possible for a port", name, name);
		return;
	}
	for (size_t i = 0; i < w->n; i++) {
		const char *t = w->v[i].text;
		unsigned int plen;

		if (streq(t, "netmask") && i + 1 < w->n && out.n) {
			struct item *a = &out.v[out.n - 1];
			char *text;

			if (!netmask_parse(w->v[++i].text, &plen)) {
				diag_error(w->v[i].src, w->v[i].text,
					   "'%s' is no netmask",
					   w->v[i].text);
				continue;
			}
			text = xasprintf("%s/%u", a->text, plen);
			free(a->text);
			a->text = text;
		} else if ((streq(t, "brd") || streq(t, "broadcast")) &&
			   i + 1 < w->n) {
			i++;	/* the kernel computes it */
		} else {
			list_add(&out, t, w->v[i].src);
		}
	}
	flat_set_bridge(c, name, BK_ADDRESS, &out, src);
	list_free(&out);
}

/* netifrc's routes_X, one route a value; default routes are gateways. */
static void flat_routes(struct conf *c, const char *name,
			const struct item *v, size_t n, struct src src)
{
	struct list gateways = { 0 }, routes = { 0 };

	if (!model_bridge(c->m, name)) {
		diag_error(src, NULL, "'%s' is no bridge: routes of other "
			   "interfaces stay in /etc/conf.d/net", name);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct list w = { 0 };

		split_words(&v[i], 1, &w);
		if (w.n == 3 && streq(w.v[0].text, "default") &&
		    streq(w.v[1].text, "via"))
			list_add(&gateways, w.v[2].text, v[i].src);
		else
			list_add(&routes, v[i].text, v[i].src);
		list_free(&w);
	}
	if (gateways.n)
		flat_set_bridge(c, name, BK_GATEWAY, &gateways, src);
	if (routes.n)
		flat_set_bridge(c, name, BK_ROUTES, &routes, src);
	list_free(&gateways);
	list_free(&routes);
}

static void flat_mac(struct conf *c, const char *name, const struct list *w,
		     struct src src)
{
	if (model_bridge(c->m, name))
		set_key(&bridge_table, BK_MAC, model_bridge(c->m, name),
			w->v, w->n, src);
	else
		set_key(&port_table, PK_MAC, flat_port(c, name, src), w->v,
			w->n, src);
}

static void flat_tuntap(struct conf *c, const char *name,
			const struct list *w, struct src src)
{
	if (w->n == 1 && streq(w->v[0].text, "tun")) {
		diag_error(src, "tun", "a tun device carries no Ethernet "
			   "frames and can't join a bridge: use \"tap\"");
		return;
	}
	set_key(&port_table, PK_TYPE, flat_port(c, name, src), w->v, w->n,
		src);
}

/* One dnsmasq dhcp-host: a MAC, addresses, a name, in any order. */
static void flat_dhcp_host(struct conf *c, const struct item *v)
{
	_cleanup_free_ char *text = xstrdup(v->text);
	struct list macs = { 0 }, ips = { 0 }, names = { 0 };
	struct cidr addr;
	struct mac mac;
	char *save = NULL;
	struct guest *g;

	for (char *w = strtok_r(text, ",", &save); w;
	     w = strtok_r(NULL, ",", &save)) {
		size_t len;

		w += strspn(w, " \t");
		len = strcspn(w, " \t");
		w[len] = '\0';
		if (*w == '[' && w[len - 1] == ']') {
			w[len - 1] = '\0';
			w++;
		}
		if (mac_parse(w, &mac))
			list_add(&macs, w, v->src);
		else if (cidr_parse(w, true, &addr))
			list_add(&ips, w, v->src);
		else
			list_add(&names, w, v->src);
	}
	if (macs.n != 1 || names.n > 1) {
		conf_wrong(v, "'%s' is no reservation: write "
		      "\"MAC,ADDRESS,NAME\"", v->text);
	} else if (!names.n || conf_hostname_value(&names.v[0])) {
		_cleanup_free_ char *name = NULL;

		if (names.n) {
			name = xstrdup(names.v[0].text);
		} else {
			name = xasprintf("mac-%s", macs.v[0].text);
			for (char *p = name + 4; *p; p++)
				*p = *p == ':' ? '-' : *p;
		}
		g = model_guest(c->m, name);
		if (!g) {
			g = model_add_guest(c->m, name, v->src);
			g->reserved = true;
		}
		set_key(&guest_table, GK_MAC, g, macs.v, 1, v->src);
		if (ips.n)
			set_key(&guest_table, GK_IP, g, ips.v, ips.n, v->src);
	}
	list_free(&macs);
	list_free(&ips);
	list_free(&names);
}

/* What makes bridges first, then what speaks of interfaces. */
static void load_flat_key(struct conf *c, cfg_t *cfg, const char *key,
			  bool makes_bridges)
{
	const char *name = flat_ifname(key);
	struct item named = { .text = (char *)name };
	struct list w = { 0 };
	size_t n;
	_cleanup_free_ struct item *v = opt_values(cfg, key, &n);
	struct src src = n ? v[0].src : key_place(c, "", "", key);

	if ((str_begins(key, "bridge_") || str_begins(key, "brctl_")) !=
	    makes_bridges)
		return;
	named.src = src;
	if (!conf_ifname_value(&named))
		return;
	split_words(v, n, &w);
	if (str_begins(key, "bridge_"))
		flat_set_bridge(c, name, BK_PORTS, &w, src);
	else if (str_begins(key, "brctl_"))
		flat_brctl(c, name, &w, src);
	else if (str_begins(key, "config_"))
		flat_config(c, name, &w, src);
	else if (str_begins(key, "routes_"))
		flat_routes(c, name, v, n, src);
	else if (str_begins(key, "mac_"))
		flat_mac(c, name, &w, src);
	else
		flat_tuntap(c, name, &w, src);
	list_free(&w);
}

static void load_top(struct conf *c, cfg_t *cfg)
{
	struct list w = { 0 };
	size_t n;
	_cleanup_free_ struct item *fw = opt_values(cfg, "firewall", &n);

	if (n == 1) {
		c->m->firewall_at = fw[0].src;
		conf_set_enum(c->m, &firewall_key, &fw[0]);
	} else if (n) {
		diag_error(fw[0].src, NULL, "'firewall' takes one value");
	}
	_cleanup_free_ struct item *ifs = opt_values(cfg, "interfaces", &n);

	split_words(ifs, n, &w);
	for (size_t i = 0; i < w.n; i++)
		conf_add_ifname(c->m, &interfaces_key, &w.v[i]);
	list_free(&w);
}

static void load_model(struct conf *c, cfg_t *cfg)
{
	size_t n;

	load_sections(c, cfg, SEC_BRIDGE, load_bridge);
	load_sections(c, cfg, SEC_GUEST, load_guest);
	load_sections(c, cfg, SEC_PORT, load_port);
	load_top(c, cfg);
	for (size_t i = 0; i < c->n_flat; i++)
		load_flat_key(c, cfg, c->flat[i], true);
	for (size_t i = 0; i < c->n_flat; i++)
		load_flat_key(c, cfg, c->flat[i], false);
	_cleanup_free_ struct item *hosts = opt_values(cfg, "dhcp-host", &n);

	for (size_t i = 0; i < n; i++)
		flat_dhcp_host(c, &hosts[i]);
}

/* ---- files ------------------------------------------------------------ */

static int conf_file(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return e->d_name[0] != '.' && len > 5 &&
	       streq(e->d_name + len - 5, ".conf");
}

/* The main file, then the drop-ins in name order (bytes, as LC_ALL=C). */
static void list_files(const char *path, const char *dropins,
		       struct list *out)
{
	struct src none = { 0 };
	struct dirent **found = NULL;
	int n = dropins ? scandir(dropins, &found, conf_file, alphasort) : 0;

	list_add(out, path, none);
	if (n < 0 && errno != ENOENT)
		diag_error((struct src){ .file = diag_source(dropins, "", 0) },
			   NULL, "can't be read: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *p = xasprintf("%s/%s", dropins,
						   found[i]->d_name);
		list_add(out, p, none);
		free(found[i]);
	}
	free(found);
}

struct model *conf_load(const char *path, const char *dropins_dir)
{
	struct conf c = { .sections = { [SEC_BRIDGE] = { .type = "bridge" },
					[SEC_GUEST] = { .type = "guest" },
					[SEC_PORT] = { .type = "interface" } } };
	struct list files = { 0 };
	cfg_t *cfg;

	list_files(path, dropins_dir, &files);
	c.files = xcalloc(files.n, sizeof(*c.files));
	for (size_t i = 0; i < files.n; i++) {
		if (!scrub_file(files.v[i].text, &c.files[c.n_files])) {
			c.broken = true;
			continue;
		}
		prescan(&c, &c.files[c.n_files++]);
	}
	c.m = model_new();
	c.m->file = xstrdup(path);
	cfg = make_parser(&c);
	for (size_t i = 0; cfg && i < c.n_files; i++)
		if (!parse_buffer(cfg, &c.files[i]))
			c.broken = true;
	if (cfg)
		load_model(&c, cfg);
	if (cfg)
		cfg_free(cfg);
	for (size_t i = 0; i < c.n_files; i++)
		scrub_free(&c.files[i]);
	free(c.files);
	for (size_t i = 0; i < SEC_COUNT; i++)
		free(c.sections[i].v);
	strmap_free(&c.index);
	for (size_t i = 0; i < c.n_flat; i++)
		free(c.flat[i]);
	free(c.flat);
	list_free(&files);
#ifdef __GLIBC__
	/* what thousands of sections took is more than the model keeps */
	if (c.m->n_guests > 4000)
		malloc_trim(0);
#endif
	if (c.broken || !cfg) {
		model_free(c.m);
		return NULL;
	}
	return c.m;
}
