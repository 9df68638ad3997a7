#include "session.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dhcpc.h"
#include "dnsmasq.h"
#include "fw.h"
#include "nldump.h"
#include "sys.h"
#include "translate.h"
#include "viewfw.h"
#include "wifi.h"

/* ---- what the planner asks --------------------------------------------- */

static char *ask_sysctl(void *arg, const char *path)
{
	(void)arg;
	return sysctl_read(path);
}

static char *ask_digest(void *arg, const char *backend, const char *bridge)
{
	(void)arg;
	return fw_digest(backend, bridge);
}

static char *ask_text(void *arg, const struct bridge *b)
{
	struct session *s = arg;
	char *text = strmap_get(&s->texts, b->name);

	if (!text) {
		/* once for all bridges */
		if (!s->texts.n)
			s->f.names_bridges =
				streq(s->in.fw_backend, "nftables") &&
				several_filter(s->m) &&
				kernel_names_bridges(s->cli->root);
		text = fw_text(s->m, &s->f, s->in.fw_backend, b, s->cli->root);
		if (text)
			strmap_put(&s->texts, b->name, text);
	}
	return text ? xstrdup(text) : NULL;
}

static const char *ask_saved(void *arg, struct saved_bridge *b)
{
	struct session *s = arg;

	return state_rules(b, s->cli->root);
}

static bool ask_account(void *arg, const char *name, bool group, uint32_t *id)
{
	(void)arg;
	return account_id(name, group, id);
}

/* A tap that is up has a carrier just while a process holds it. */
static bool ask_held(void *arg, const char *name)
{
	struct session *s = arg;
	const struct klink *l = kstate_link(&s->k, name);

	if (l && (l->flags & IFF_UP))
		return l->flags & KLINK_LOWER_UP;
	return tap_held(name);
}

static bool ask_dns_files(void *arg, const char *bridge, uint64_t *conf,
			  uint64_t *hosts)
{
	struct session *s = arg;

	return dnsmasq_files(s->cli->root, bridge, conf, hosts);
}

static bool ask_dns_runs(void *arg, const char *bridge)
{
	struct session *s = arg;

	return dnsmasq_runs(s->cli->root, bridge);
}

static int ask_client(void *arg, const char *ifname, char **argv)
{
	(void)arg;
	return dhcpc_find(ifname, argv);
}

static void ask_leases(void *arg, const char *bridge, struct leases *out)
{
	struct session *s = arg;

	leases_load(out, s->cli->root, bridge);
}

/* ---- opening ---------------------------------------------------------- */

static void add_gone(struct session *s, const char *name)
{
	for (size_t i = 0; i < s->n_gone; i++)
		if (streq(s->gone[i], name))
			return;
	ARRAY_GROW(s->gone, s->n_gone);
	s->gone[s->n_gone++] = xstrdup(name);
}

static void add_bridge(struct session *s, const struct bridge *b)
{
	ARRAY_GROW(s->bridges, s->n_bridges);
	s->bridges[s->n_bridges++] = b;
}

bool session_all(const struct session *s)
{
	return !s->cli->n_args;
}

/* `down` may name a bridge that the config no longer has. */
static int choose(struct session *s, bool down)
{
	for (size_t i = 0; session_all(s) && i < s->m->n_bridges; i++)
		add_bridge(s, s->m->bridges[i]);
	for (int i = 0; i < s->cli->n_args; i++) {
		const char *name = s->cli->args[i];
		const struct bridge *b = model_bridge(s->m, name);
		const struct klink *l = kstate_link(&s->k, name);

		if (b) {
			add_bridge(s, b);
		} else if (down && (state_bridge(&s->st, name) ||
				    (l && klink_is_ours(l)))) {
			add_gone(s, name);
		} else {
			msg_error("there is no bridge '%s' in the "
				  "configuration", name);
			return RC_USAGE;
		}
	}
	for (size_t i = 0; down && session_all(s) && i < s->st.n_bridges; i++)
		if (!model_bridge(s->m, s->st.bridges[i].name))
			add_gone(s, s->st.bridges[i].name);
	for (size_t i = 0; down && session_all(s) && i < s->k.n_links; i++) {
		const struct klink *l = &s->k.links[i];

		if (streq(l->kind, "bridge") && klink_is_ours(l) &&
		    !model_bridge(s->m, l->name))
			add_gone(s, l->name);
	}
	return RC_OK;
}

/* Has the record a note of this kind, for any bridge? */
static bool any_noted(const struct session *s, char kind)
{
	for (size_t i = 0; i < s->st.n_bridges; i++)
		if (saved_has_kind(&s->st.bridges[i], kind))
			return true;
	return false;
}

/* Are there programs on taps, or may there have to be? */
static bool has_screens(const struct session *s)
{
	return any_noted(s, 's') || streq(fw_backend(s->m), "iptables");
}

static bool has_proxies(const struct session *s)
{
	for (size_t i = 0; i < s->m->n_bridges; i++)
		if (s->m->bridges[i]->mode == MODE_PROXYARP)
			return true;
	return any_noted(s, 'x');
}

/* Is any guest's rate set, or was it? Else nobody asks for qdiscs. */
static bool has_rates(const struct session *s)
{
	for (size_t i = 0; i < s->m->n_guests; i++)
		if (s->m->guests[i]->rate_in)
			return true;
	return any_noted(s, 'q');
}

/* A link gets its mark in the message after the one that makes it. If a run
 * died in between, the record knows that it is ours. */
static void mark_ours(struct session *s)
{
	for (size_t i = 0; i < s->k.n_links; i++) {
		struct klink *l = &s->k.links[i];

		if (*l->alias || l->master ||
		    (!streq(l->kind, "tun") && !streq(l->kind, "bridge") &&
		     !streq(l->kind, "veth")))
			continue;
		for (size_t b = 0; b < s->st.n_bridges; b++) {
			struct saved_bridge *sb = &s->st.bridges[b];

			if (!saved_has_note(sb, 'n', l->name))
				continue;
			free(l->alias);
			l->alias = xasprintf("netbr %s unmarked", sb->name);
			break;
		}
	}
}

/* A few links are asked for one by one; more are a dump. */
#define MAX_TOUCHED 16

static void touch(struct list *names, const char *name, size_t len)
{
	_cleanup_free_ char *s = xstrndup(name, len);

	if (len && len < IFNAMSIZ && !list_has(names, s))
		list_add(names, s, (struct src){ 0 });
}

/* The links that plans speak of: no other one has changed. False if they are
 * many. */
static bool touched(const struct plan *p, struct list *names)
{
	for (; p; p = p->before) {
		for (size_t i = 0; i < p->n; i++) {
			const struct op *op = p->v[i];
			const char *all[] = { op->object, op->bridge, op->peer,
					      op->set.master };
			const char *conf = op->path ?
				strstr(op->path, "/conf/") : NULL;

			for (size_t k = 0; k < N_ELEMENTS(all); k++)
				touch(names, all[k], strlen(all[k]));
			if (conf)
				touch(names, conf + 6, strcspn(conf + 6, "/"));
			if (names->n + op->names.n > MAX_TOUCHED)
				return false;
			for (size_t k = 0; k < op->names.n; k++)
				touch(names, op->names.v[k],
				      strlen(op->names.v[k]));
		}
	}
	return true;
}

/* What is asked for only where somebody needs it; on a dump's heels. */
static int finish_dump(struct session *s, int rc)
{
	if (rc == 0 && has_proxies(s))
		rc = nldump_proxies(&s->nl, &s->k);
	if (rc == 0 && has_screens(s))
		rc = nldump_screens(&s->nl, &s->k);
	if (rc == 0 && has_rates(s))
		rc = nldump_rates(&s->nl, &s->k);
	if (rc < 0) {
		msg_error("the kernel's state can't be read: %s",
			  strerror(-rc));
		return RC_FAILED;
	}
	mark_ours(s);
	/* a run may have switched it just now */
	for (size_t i = 0; i < s->m->n_bridges; i++) {
		struct bridge *b = s->m->bridges[i];
		struct wifi w;

		if (b->wireless && bridge_mode(b) == MODE_WDS &&
		    wifi_ask(s->cli->root, b->uplink, &w))
			b->four = w.four;
	}
	return RC_OK;
}

int session_dump(struct session *s, const struct plan *done)
{
	struct list names = { 0 };
	int rc;

	if (done && touched(done, &names)) {
		rc = nldump_again(&s->nl, &s->k, &names);
	} else {
		kstate_free(&s->k);
		rc = nldump_all(&s->nl, &s->k);
	}
	list_free(&names);
	return finish_dump(s, rc);
}

/* ---- the first dump ------------------------------------------------------ */

/* Each takes a processor of its own: both wait for the process's page tables
 * time and again, and the scheduler, which then puts one where the other has
 * run, may leave them there for as long as all this takes. */
static void take_cpu(struct dump *d)
{
	int cpu = sched_getcpu();
	cpu_set_t mine;

	if (cpu < 0 || sched_getaffinity(0, sizeof(d->cpus), &d->cpus) < 0 ||
	    CPU_COUNT(&d->cpus) < 2 || !CPU_ISSET(cpu, &d->cpus))
		return;
	CPU_ZERO(&mine);
	CPU_SET(cpu, &mine);
	d->others = d->cpus;
	CPU_CLR(cpu, &d->others);
	d->apart = sched_setaffinity(0, sizeof(mine), &mine) == 0;
}

static void *dump_thread(void *arg)
{
	struct dump *d = arg;

	if (d->apart)
		sched_setaffinity(0, sizeof(d->others), &d->others);
	d->rc = nldump_all(&d->nl, &d->k);
	return NULL;
}

int dump_begin(struct dump *d)
{
	int rc;

	*d = (struct dump){ 0 };
	rc = nlx_open(&d->nl, NETLINK_ROUTE);
	if (rc < 0) {
		msg_error("netlink: %s", strerror(-rc));
		return RC_FAILED;
	}
	take_cpu(d);
	d->running = pthread_create(&d->thread, NULL, dump_thread, d) == 0;
	if (!d->running)
		dump_thread(d);
	return RC_OK;
}

static void dump_wait(struct dump *d)
{
	if (d->running)
		pthread_join(d->thread, NULL);
	d->running = false;
	if (d->apart)
		sched_setaffinity(0, sizeof(d->cpus), &d->cpus);
	d->apart = false;
}

void dump_end(struct dump *d)
{
	dump_wait(d);
	kstate_free(&d->k);
	nlx_shut(&d->nl);
}

/* Rules that nobody can load, or nobody may look at, are said. */
static const char *choose_backend(const struct model *m)
{
	const char *backend = fw_backend(m);
	bool wanted = false;

	for (size_t i = 0; i < m->n_bridges; i++)
		wanted |= bridge_routes(m->bridges[i]);
	if (geteuid() != 0) {
		msg_warn("not root: firewall rules are not looked at");
		return "none";
	}
	if (wanted && m->firewall == FW_AUTO && streq(backend, "none"))
		msg_warn("neither nft nor iptables-restore is installed: "
			 "guests are not masqueraded");
	return backend;
}

static char *ask_missing(void *arg, const struct bridge *b)
{
	(void)arg;
	return translation_missing(b->host == HOST_UPLINK);
}

/* A wired port may take one MAC alone: its router is asked from another one,
 * once, if the config wants it. The record keeps what was found. */
static void probe_uplink(struct session *s, struct bridge *b, bool may_ask)
{
	const struct saved_bridge *sb = state_bridge(&s->st, b->name);
	const struct klink *up = kstate_link(&s->k, b->uplink);
	const struct klink *br = kstate_link(&s->k, b->name);
	const struct klink *via = up && br && up->master == br->index ? br :
				  up;
	struct mac other = bridge_stable_mac(b, s->f.seed);
	const struct ip *gw = NULL;

	if (saved_has_note(sb, 'p', mode_names[MODE_MACNAT])) {
		b->chosen = MODE_MACNAT;
		b->why = "its port answers one MAC alone, a probe found";
		return;
	}
	if (saved_has_note(sb, 'p', mode_names[MODE_BRIDGED]) || !may_ask)
		return;
	for (size_t i = 0; via && i < s->k.n_routes; i++)
		if (s->k.routes[i].oif == via->index &&
		    s->k.routes[i].gw.family == AF_INET)
			gw = &s->k.routes[i].gw;
	if (!gw || geteuid() != 0 || !arp_answers(via->name, gw->b, 1000)) {
		msg_warn("%s: no router on %s answers, so its port can't be "
			 "probed: it is taken for one that accepts every MAC",
			 b->name, b->uplink);
		return;
	}
	if (arp_answers_mac(via->name, other.b, gw->b, 1500)) {
		b->why = "the port answers other MACs too, a probe found";
		return;
	}
	b->chosen = MODE_MACNAT;
	b->why = "its port answers one MAC alone, a probe found";
}

/* Does a running guest hold a tap of the bridge? */
static bool has_guests(const struct session *s, const char *bridge)
{
	for (size_t i = 0; i < s->k.n_links; i++) {
		const struct klink *l = &s->k.links[i];
		char of[IFNAMSIZ];

		if (streq(l->kind, "tun") && l->flags & KLINK_LOWER_UP &&
		    streq(klink_alias_bridge(l, of), bridge))
			return true;
	}
	return false;
}

/* Another mode is another network for those who run: `auto` changes it only
 * when nobody does. */
static void keep_mode(struct session *s, struct bridge *b)
{
	const struct saved_bridge *sb = state_bridge(&s->st, b->name);
	_cleanup_free_ char *why = NULL;

	for (int m = MODE_AUTO + 1; sb && m < MODE_COUNT; m++) {
		if (!saved_has_note(sb, 'o', mode_names[m]) ||
		    m == (int)bridge_mode(b) || !has_guests(s, b->name))
			continue;
		why = xasprintf("kept while guests run; without them it would "
				"be %s: %s", mode_names[bridge_mode(b)],
				b->why);
		b->chosen = m;
		b->why = list_add(&s->f.texts, why, (struct src){ 0 })->text;
		return;
	}
}

/* A kernel, or a firewall, without what macnat needs for this uplink. */
static void fall_back(struct session *s, struct bridge *b)
{
	_cleanup_free_ char *option = NULL, *why = NULL;
	char ends[2][IFNAMSIZ];

	bridge_veth(b, ends[0], ends[1]);
	if (!bridge_has_veth(b) || kstate_link(&s->k, ends[0]))
		return;
	option = streq(s->in.fw_backend, "nftables") ?
		 translation_missing(false) : xstrdup("nftables");
	if (!option)
		return;
	why = xasprintf("%s; macnat would need %s", b->why, option);
	b->chosen = MODE_PROXYARP;
	b->why = list_add(&s->f.texts, why, (struct src){ 0 })->text;
}

/* What `auto` makes of an uplink, where looking at it is not enough. */
static void choose_modes(struct session *s, bool may_ask)
{
	for (size_t i = 0; i < s->m->n_bridges; i++) {
		struct bridge *b = s->m->bridges[i];

		if (b->mode != MODE_AUTO || !b->uplink)
			continue;
		if (b->probe && b->chosen == MODE_BRIDGED && !b->wireless)
			probe_uplink(s, b, may_ask);
		fall_back(s, b);
		keep_mode(s, b);
	}
}

static bool named(const struct cli *c, const char *bridge)
{
	for (int i = 0; i < c->n_args; i++)
		if (streq(c->args[i], bridge))
			return true;
	return !c->n_args;
}

/* What the plan will ask of nftables is made ready while the thread still
 * reads the kernel's links: the rules' text, where links have no say in it,
 * and what is loaded. */
static void look_ahead(struct session *s)
{
	/* where nothing is loaded, to ask is quicker on its own */
	if (!streq(s->in.fw_backend, "nftables"))
		return;
	for (size_t i = 0; i < s->m->n_bridges; i++) {
		const struct bridge *b = s->m->bridges[i];

		if (!named(s->cli, b->name))
			continue;
		if (b->mode != MODE_AUTO && !bridge_has_veth(b))
			free(ask_text(s, b));
		free(fw_digest(s->in.fw_backend, b->name));
	}
}

int session_open(struct session *s, const struct cli *c,
		 const struct model *m, struct dump *d, bool down)
{
	bool plans = !down && (streq(c->verb, "up") || streq(c->verb, "try") ||
			       streq(c->verb, "plan"));
	int rc;

	*s = (struct session){ .cli = c, .m = m };
	if (facts_read_few(&s->f, m, c->root) < 0)
		return RC_FAILED;
	state_load(&s->st, c->root);
	s->in.fw_backend = choose_backend(m);
	if (plans)
		look_ahead(s);
	dump_wait(d);
	s->nl = d->nl;
	s->k = d->k;
	d->nl = (struct nlx){ 0 };
	d->k = (struct kstate){ 0 };
	rc = finish_dump(s, d->rc);
	if (rc == RC_OK)
		rc = choose(s, down);
	s->in = (struct plan_input){
		.m = m, .f = &s->f, .k = &s->k, .st = &s->st,
		.force = c->force, .bridges = s->bridges,
		.n_bridges = s->n_bridges, .gone = (const char *const *)s->gone,
		.n_gone = s->n_gone, .fw_backend = s->in.fw_backend,
		.sysctl = ask_sysctl, .fw_digest = ask_digest,
		.fw_text = ask_text, .fw_saved = ask_saved, .user_id = ask_account,
		.tap_held = ask_held, .dns_files = ask_dns_files,
		.dns_runs = ask_dns_runs, .leases = ask_leases,
		.dhcp_client = ask_client,
		.has_tun = access("/dev/net/tun", R_OK | W_OK) == 0,
		.missing = ask_missing, .arg = s,
	};
	if (rc == RC_OK)
		choose_modes(s, plans);
	return rc;
}

void session_close(struct session *s)
{
	for (size_t i = 0; i < s->texts.room; i++)
		if (s->texts.v[i].key)
			free(s->texts.v[i].value);
	strmap_free(&s->texts);
	fw_end();
	free(s->bridges);
	for (size_t i = 0; i < s->n_gone; i++)
		free(s->gone[i]);
	free(s->gone);
	kstate_free(&s->k);
	state_free(&s->st);
	facts_free(&s->f);
	nlx_shut(&s->nl);
}

int session_save(struct session *s)
{
	bool changed = false;
	int rc;

	for (size_t i = 0; i < s->st.n_bridges; i++) {
		struct saved_bridge *b = &s->st.bridges[i];

		if (b->fw_digest && !*b->fw_digest) {
			char *d = fw_digest(b->fw_backend, b->name);

			free(b->fw_digest);
			b->fw_digest = d ? d : xstrdup("");
			changed = true;
		}
	}
	if (!changed)
		return 0;
	rc = state_save(&s->st, s->cli->root);
	if (rc < 0)
		msg_error("%s/run/netbr/state.json can't be written: %s",
			  s->cli->root, strerror(-rc));
	return rc;
}
