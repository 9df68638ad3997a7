#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"

#define STATE_FILE "/run/netbr/state.json"
#define STATE_VERSION 1

/* ---- in memory -------------------------------------------------------- */

static void saved_bridge_free(struct saved_bridge *b)
{
	for (size_t i = 0; i < b->n_addrs; i++)
		free(b->addrs[i].v);
	for (size_t i = 0; i < b->n_routes; i++)
		free(b->routes[i].v);
	for (size_t i = 0; i < b->n_added; i++)
		free(b->added[i]);
	free(b->addrs);
	free(b->routes);
	free(b->ports);
	free(b->added);
	free(b->fw_backend);
	free(b->fw_text);
	free(b->fw_digest);
	free(b->client);
}

static void saved_sysctl_free(struct saved_sysctl *y)
{
	for (size_t k = 0; k < y->n_bridges; k++)
		free(y->bridges[k]);
	free(y->bridges);
	free(y->path);
	free(y->old);
	free(y->set);
}

void state_free(struct state *s)
{
	for (size_t i = 0; i < s->n_bridges; i++)
		saved_bridge_free(&s->bridges[i]);
	for (size_t i = 0; i < s->n_sysctls; i++)
		saved_sysctl_free(&s->sysctls[i]);
	free(s->bridges);
	free(s->sysctls);
	*s = (struct state){ 0 };
}

struct saved_bridge *state_bridge(const struct state *s, const char *name)
{
	for (size_t i = 0; i < s->n_bridges; i++)
		if (streq(s->bridges[i].name, name))
			return &s->bridges[i];
	return NULL;
}

struct saved_bridge *state_add_bridge(struct state *s, const char *name)
{
	struct saved_bridge *b = state_bridge(s, name);

	if (b)
		return b;
	ARRAY_GROW(s->bridges, s->n_bridges);
	b = &s->bridges[s->n_bridges++];
	*b = (struct saved_bridge){ 0 };
	str_put(b->name, sizeof(b->name), name);
	return b;
}

static void drop_user(struct saved_sysctl *y, const char *bridge)
{
	for (size_t k = 0; k < y->n_bridges; k++) {
		if (!streq(y->bridges[k], bridge))
			continue;
		free(y->bridges[k]);
		y->bridges[k] = y->bridges[--y->n_bridges];
		return;
	}
}

void state_drop_bridge(struct state *s, const char *name)
{
	struct saved_bridge *b = state_bridge(s, name);

	if (b) {
		saved_bridge_free(b);
		*b = s->bridges[--s->n_bridges];
	}
	state_forget_users(s, name);
}

void state_forget_users(struct state *s, const char *bridge)
{
	for (size_t i = 0; i < s->n_sysctls; i++)
		drop_user(&s->sysctls[i], bridge);
}

void state_drop_sysctl(struct state *s, size_t i)
{
	saved_sysctl_free(&s->sysctls[i]);
	s->n_sysctls--;
	memmove(&s->sysctls[i], &s->sysctls[i + 1],
		(s->n_sysctls - i) * sizeof(*s->sysctls));
}

void saved_add_raw(struct raw **v, size_t *n, const uint8_t *p, size_t len)
{
	ARRAY_GROW(*v, *n);
	(*v)[*n] = (struct raw){ xcalloc(len, 1), len };
	if (len)
		memcpy((*v)[*n].v, p, len);
	++*n;
}

bool saved_has_kind(const struct saved_bridge *b, char kind)
{
	for (size_t i = 0; b && i < b->n_added; i++)
		if (b->added[i][0] == kind)
			return true;
	return false;
}

bool saved_has_note(const struct saved_bridge *b, char kind,
		    const char *text)
{
	for (size_t i = 0; b && i < b->n_added; i++)
		if (b->added[i][0] == kind && streq(b->added[i] + 2, text))
			return true;
	return false;
}

void saved_add_note(struct saved_bridge *b, char kind, const char *text)
{
	if (!saved_has_note(b, kind, text))
		saved_append_note(b, kind, text);
}

void saved_append_note(struct saved_bridge *b, char kind, const char *text)
{
	ARRAY_GROW(b->added, b->n_added);
	b->added[b->n_added++] = xasprintf("%c %s", kind, text);
}

void saved_clear_notes(struct saved_bridge *b)
{
	for (size_t i = 0; i < b->n_added; i++)
		free(b->added[i]);
	free(b->added);
	b->added = NULL;
	b->n_added = 0;
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

void saved_set_firewall(struct saved_bridge *b, const char *backend,
			const char *text, const char *digest)
{
	char *old[] = { b->fw_backend, b->fw_text, b->fw_digest };

	b->fw_backend = dup_or_null(backend);
	b->fw_text = dup_or_null(text);
	b->fw_hash = text ? hash_text(text, strlen(text)) : 0;
	b->fw_digest = dup_or_null(digest);
	for (size_t i = 0; i < N_ELEMENTS(old); i++)
		free(old[i]);
}

struct saved_port *saved_port(const struct saved_bridge *b, const char *name)
{
	for (size_t i = 0; b && i < b->n_ports; i++)
		if (streq(b->ports[i].name, name))
			return &b->ports[i];
	return NULL;
}

static struct saved_sysctl *find_sysctl(const struct state *s,
					const char *path)
{
	for (size_t i = 0; i < s->n_sysctls; i++)
		if (streq(s->sysctls[i].path, path))
			return &s->sysctls[i];
	return NULL;
}

bool state_has_sysctl(const struct state *s, const char *path)
{
	return find_sysctl(s, path);
}

void state_note_sysctl(struct state *s, const char *path, const char *old,
		       const char *set, const char *bridge)
{
	struct saved_sysctl *y = find_sysctl(s, path);

	if (!y) {
		ARRAY_GROW(s->sysctls, s->n_sysctls);
		y = &s->sysctls[s->n_sysctls++];
		*y = (struct saved_sysctl){ .path = xstrdup(path),
					    .old = xstrdup(old),
					    .set = xstrdup(set) };
	}
	for (size_t k = 0; k < y->n_bridges; k++)
		if (streq(y->bridges[k], bridge))
			return;
	ARRAY_GROW(y->bridges, y->n_bridges);
	y->bridges[y->n_bridges++] = xstrdup(bridge);
}

/* ---- JSON ------------------------------------------------------------- */

static json_t *hex_of(const struct raw *r)
{
	_cleanup_free_ char *s = xcalloc(r->len * 2 + 1, 1);

	return json_string(hex_encode(r->v, r->len, s));
}

static json_t *raws_to_json(const struct raw *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, hex_of(&v[i]));
	return a;
}

static void raws_from_json(json_t *a, struct raw **v, size_t *n)
{
	json_t *e;
	size_t i;

	json_array_foreach(a, i, e) {
		const char *s = json_string_value(e);
		size_t len = s ? strlen(s) / 2 : 0;
		_cleanup_free_ uint8_t *p = xcalloc(len, 1);

		if (len > 0 && hex_decode(s, p, len))
			saved_add_raw(v, n, p, len);
	}
}

static json_t *port_to_json(const struct saved_port *p)
{
	char mac[MAC_TEXT];

	return json_pack("{s:s, s:b, s:s, s:i}", "name", p->name, "up",
			 p->was_up, "mac", p->has_mac ?
			 mac_format(&p->mac, mac) : "", "mtu", (int)p->mtu);
}

static json_t *bridge_to_json(const struct saved_bridge *b)
{
	json_t *o = json_object(), *ports = json_array();
	json_t *added = json_array();

	for (size_t i = 0; i < b->n_ports; i++)
		json_array_append_new(ports, port_to_json(&b->ports[i]));
	for (size_t i = 0; i < b->n_added; i++)
		json_array_append_new(added, json_string(b->added[i]));
	json_object_set_new(o, "name", json_string(b->name));
	json_object_set_new(o, "uplink", json_string(b->uplink));
	json_object_set_new(o, "uplink_up", json_boolean(b->uplink_up));
	json_object_set_new(o, "addresses",
			    raws_to_json(b->addrs, b->n_addrs));
	json_object_set_new(o, "routes",
			    raws_to_json(b->routes, b->n_routes));
	json_object_set_new(o, "ports", ports);
	json_object_set_new(o, "added", added);
	json_object_set_new(o, "dns_conf", json_integer(b->dns_conf));
	json_object_set_new(o, "dns_hosts", json_integer(b->dns_hosts));
	if (b->client)
		json_object_set_new(o, "client", json_string(b->client));
	if (b->fw_backend) {
		json_object_set_new(o, "fw_backend",
				    json_string(b->fw_backend));
		json_object_set_new(o, "fw_hash", json_integer(
			(json_int_t)b->fw_hash));
		json_object_set_new(o, "fw_digest", json_string(b->fw_digest));
	}
	return o;
}

static json_t *state_to_json(const struct state *s)
{
	json_t *bridges = json_array(), *sysctls = json_array();

	for (size_t i = 0; i < s->n_bridges; i++)
		json_array_append_new(bridges, bridge_to_json(&s->bridges[i]));
	for (size_t i = 0; i < s->n_sysctls; i++) {
		const struct saved_sysctl *y = &s->sysctls[i];
		json_t *users = json_array();

		for (size_t k = 0; k < y->n_bridges; k++)
			json_array_append_new(users,
					      json_string(y->bridges[k]));
		json_array_append_new(sysctls, json_pack(
			"{s:s, s:s, s:s, s:o}", "path", y->path, "old",
			y->old, "set", y->set, "bridges", users));
	}
	_cleanup_free_ char *boot = state_boot_id();

	return json_pack("{s:i, s:s, s:o, s:o}", "version", STATE_VERSION,
			 "boot", boot, "bridges", bridges, "sysctls", sysctls);
}

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void ports_from_json(json_t *a, struct saved_bridge *b)
{
	json_t *o;
	size_t i;

	json_array_foreach(a, i, o) {
		struct saved_port p = {
			.was_up = json_is_true(json_object_get(o, "up")),
			.mtu = json_integer_value(json_object_get(o, "mtu")),
		};

		if (!ifname_ok(text_of(o, "name")))
			continue;
		str_put(p.name, sizeof(p.name), text_of(o, "name"));
		p.has_mac = mac_parse(text_of(o, "mac"), &p.mac);
		ARRAY_GROW(b->ports, b->n_ports);
		b->ports[b->n_ports++] = p;
	}
}

static void bridge_from_json(struct state *s, json_t *o)
{
	const char *name = text_of(o, "name"), *uplink = text_of(o, "uplink");
	struct saved_bridge *b;
	json_t *e;
	size_t i;

	if (!ifname_ok(name) || (*uplink && strlen(uplink) >= IFNAMSIZ))
		return;
	b = state_add_bridge(s, name);
	str_put(b->uplink, sizeof(b->uplink), uplink);
	b->uplink_up = json_is_true(json_object_get(o, "uplink_up"));
	raws_from_json(json_object_get(o, "addresses"), &b->addrs,
		       &b->n_addrs);
	raws_from_json(json_object_get(o, "routes"), &b->routes,
		       &b->n_routes);
	ports_from_json(json_object_get(o, "ports"), b);
	json_array_foreach(json_object_get(o, "added"), i, e) {
		const char *t = json_string_value(e);

		if (t && strlen(t) > 2)
			saved_append_note(b, t[0], t + 2);
	}
	b->dns_conf = json_integer_value(json_object_get(o, "dns_conf"));
	b->dns_hosts = json_integer_value(json_object_get(o, "dns_hosts"));
	if (*text_of(o, "client"))
		b->client = xstrdup(text_of(o, "client"));
	if (!*text_of(o, "fw_backend"))
		return;
	saved_set_firewall(b, text_of(o, "fw_backend"), NULL,
			   text_of(o, "fw_digest"));
	b->fw_hash = json_integer_value(json_object_get(o, "fw_hash"));
}

static void state_from_json(struct state *s, json_t *root)
{
	json_t *o, *u;
	size_t i, k;

	json_array_foreach(json_object_get(root, "bridges"), i, o)
		bridge_from_json(s, o);
	json_array_foreach(json_object_get(root, "sysctls"), i, o) {
		const char *path = text_of(o, "path");

		if (!str_begins(path, "net/") || strstr(path, ".."))
			continue;
		json_array_foreach(json_object_get(o, "bridges"), k, u)
			if (json_string_value(u))
				state_note_sysctl(s, path, text_of(o, "old"),
						  text_of(o, "set"),
						  json_string_value(u));
	}
}

static void copy_raws(struct raw **dst, size_t *n_dst, const struct raw *v,
		      size_t n)
{
	for (size_t i = 0; i < n; i++)
		saved_add_raw(dst, n_dst, v[i].v, v[i].len);
}

static void copy_bridge(struct saved_bridge *d, const struct saved_bridge *s)
{
	*d = *s;
	d->addrs = d->routes = NULL;
	d->ports = NULL;
	d->added = NULL;
	d->n_addrs = d->n_routes = d->n_ports = d->n_added = 0;
	copy_raws(&d->addrs, &d->n_addrs, s->addrs, s->n_addrs);
	copy_raws(&d->routes, &d->n_routes, s->routes, s->n_routes);
	for (size_t i = 0; i < s->n_ports; i++) {
		ARRAY_GROW(d->ports, d->n_ports);
		d->ports[d->n_ports++] = s->ports[i];
	}
	for (size_t i = 0; i < s->n_added; i++) {
		ARRAY_GROW(d->added, d->n_added);
		d->added[d->n_added++] = xstrdup(s->added[i]);
	}
	d->fw_backend = dup_or_null(s->fw_backend);
	d->fw_text = dup_or_null(s->fw_text);
	d->fw_digest = dup_or_null(s->fw_digest);
	d->client = dup_or_null(s->client);
}

void state_copy(struct state *dst, const struct state *src)
{
	*dst = (struct state){ 0 };
	for (size_t i = 0; i < src->n_bridges; i++) {
		ARRAY_GROW(dst->bridges, dst->n_bridges);
		copy_bridge(&dst->bridges[dst->n_bridges++], &src->bridges[i]);
	}
	for (size_t i = 0; i < src->n_sysctls; i++) {
		const struct saved_sysctl *y = &src->sysctls[i];

		for (size_t k = 0; k < y->n_bridges; k++)
			state_note_sysctl(dst, y->path, y->old, y->set,
					  y->bridges[k]);
	}
}

/* ---- rules -------------------------------------------------------------- */

static char *rules_name(const struct saved_bridge *b)
{
	return xasprintf("rules-%s-%016llx", b->name,
			 (unsigned long long)b->fw_hash);
}

static char *rules_path(const struct saved_bridge *b, const char *root)
{
	_cleanup_free_ char *name = rules_name(b);
	_cleanup_free_ char *below = xasprintf("/run/netbr/%s", name);

	return path_join(root, below);
}

const char *state_rules(struct saved_bridge *b, const char *root)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf text = { 0 };

	if (!b || !b->fw_backend || b->fw_text)
		return b && b->fw_backend ? b->fw_text : NULL;
	path = rules_path(b, root);
	if (buf_read_file(&text, path, 64 << 20) == 0 &&
	    hash_text(buf_str(&text), text.len) == b->fw_hash)
		b->fw_text = xstrdup(buf_str(&text));
	return b->fw_text;
}

static int save_rules(const struct saved_bridge *b, const char *root)
{
	_cleanup_free_ char *path = NULL;

	if (!b->fw_backend || !b->fw_text)
		return 0;
	path = rules_path(b, root);
	return access(path, F_OK) == 0 ? 0 : file_replace(path, b->fw_text);
}

void state_tidy(const struct state *s, const char *root)
{
	_cleanup_free_ char *path = path_join(root, "/run/netbr");
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		bool used = !str_begins(e->d_name, "rules-");

		for (size_t i = 0; !used && i < s->n_bridges; i++) {
			_cleanup_free_ char *name = rules_name(&s->bridges[i]);

			used = s->bridges[i].fw_backend &&
			       streq(e->d_name, name);
		}
		if (!used && unlinkat(dirfd(dir), e->d_name, 0) < 0)
			msg_debug("%s/%s: %s", path, e->d_name,
				  strerror(errno));
	}
	if (dir)
		closedir(dir);
}

/* ---- the file --------------------------------------------------------- */

char *state_boot_id(void)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (buf_read_file(&b, "/proc/sys/kernel/random/boot_id", 128) < 0)
		return xstrdup("");
	return xstrndup(buf_str(&b), strcspn(buf_str(&b), "\n"));
}

/* A record without an id is believed: not all systems have one. */
static bool other_boot(json_t *j)
{
	_cleanup_free_ char *now = state_boot_id();
	const char *then = text_of(j, "boot");

	return *now && *then && !streq(now, then);
}

void state_load(struct state *s, const char *root)
{
	_cleanup_free_ char *path = path_join(root, STATE_FILE);
	_cleanup_buf_ struct buf b = { 0 };
	json_error_t error;
	json_t *j;
	int rc;

	*s = (struct state){ 0 };
	rc = buf_read_file(&b, path, 64 << 20);
	if (rc == -ENOENT)
		return;
	if (rc < 0) {
		msg_warn("%s: %s; going on without it", path, strerror(-rc));
		return;
	}
	j = json_loadb(buf_str(&b), b.len, 0, &error);
	if (!j || json_integer_value(json_object_get(j, "version")) !=
	    STATE_VERSION)
		msg_warn("%s: not readable (%s); going on without it", path,
			 j ? "another version" : error.text);
	else if (other_boot(j))
		msg_warn("%s: it is from before a reboot; going on without "
			 "it", path);
	else
		state_from_json(s, j);
	json_decref(j);
}

int state_save(const struct state *s, const char *root)
{
	_cleanup_free_ char *path = path_join(root, STATE_FILE);
	_cleanup_free_ char *aside = xasprintf("%s.old", path);
	_cleanup_free_ char *text = NULL;
	json_t *j;
	int rc = 0;

	if (!s->n_bridges && !s->n_sysctls)
		return unlink(path) < 0 && errno != ENOENT &&
		       errno != EISDIR ? -errno : 0;
	for (size_t i = 0; rc == 0 && i < s->n_bridges; i++)
		rc = save_rules(&s->bridges[i], root);
	if (rc < 0)
		return rc;
	j = state_to_json(s);
	text = json_dumps(j, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(j);
	if (!text)
		return -ENOMEM;
	rc = file_replace(path, text);
	/* what is no file can't be our record: it is put aside */
	if (rc == -EISDIR && rename(path, aside) == 0)
		rc = file_replace(path, text);
	return rc;
}
