/* Plans at a desk: a model and a kernel state in, sentences out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plan.h"

/* A world without sysctls and firewall, where no tap is held. */
static char *no_sysctl(void *arg, const char *path)
{
	(void)arg;
	(void)path;
	return NULL;
}

static char *no_digest(void *arg, const char *backend, const char *bridge)
{
	(void)arg;
	(void)backend;
	(void)bridge;
	return NULL;
}

static bool held(void *arg, const char *name)
{
	(void)arg;
	return streq(name, "held0");
}

struct world {
	struct model *m;
	struct facts f;
	struct kstate k;
	struct state st;
	struct plan p;
	struct plan_input in;
	const struct bridge *bridges[4];
};

static struct bridge *world_bridge(struct world *w, const char *name)
{
	return model_add_bridge(w->m, name, (struct src){ "t", 1 });
}

static struct port *world_tap(struct world *w, struct bridge *b,
			      const char *name)
{
	struct port *p = model_add_port(w->m, name, (struct src){ "t", 1 });

	p->bridge_name = xstrdup(b->name);
	p->declared = true;
	return p;
}

static struct klink *world_link(struct world *w, const char *name,
				const char *kind, const char *alias)
{
	struct klink l = { .index = w->k.n_links + 1, .ethernet = true,
			   .mtu = 1500, .alias = (char *)alias };

	strcpy(l.name, name);
	strcpy(l.kind, kind);
	l.tun.is_tap = streq(kind, "tun");
	l.tun.owner = l.tun.group = KFOREVER;
	l.mac.b[5] = l.index;
	return kstate_add_link(&w->k, &l);
}

static struct world *world_new(void)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->m = model_new();
	w->f.seed = xstrdup("seed");
	return w;
}

static void world_input(struct world *w)
{
	assert_int_equal(model_check(w->m), 0);
	for (size_t i = 0; i < w->m->n_bridges; i++)
		w->bridges[i] = w->m->bridges[i];
	w->in = (struct plan_input){
		.m = w->m, .f = &w->f, .k = &w->k, .st = &w->st,
		.bridges = w->bridges, .n_bridges = w->m->n_bridges,
		.fw_backend = "none", .sysctl = no_sysctl,
		.fw_digest = no_digest, .tap_held = held, .arg = w,
	};
}

static void world_free(struct world *w)
{
	plan_free(&w->p);
	kstate_free(&w->k);
	state_free(&w->st);
	facts_free(&w->f);
	model_free(w->m);
	free(w);
	diag_reset();
}

static void expect(const struct plan *p, const char *const want[], size_t n)
{
	for (size_t i = 0; i < p->n && i < n; i++)
		assert_string_equal(p->v[i]->sentence, want[i]);
	assert_int_equal(p->n, n);
}

static void test_from_nothing(void **s)
{
	static const char *const want[] = {
		"create tap tap0",
		"create bridge lab (MAC 52:ac:88:7b:54:e5)",
		"mark lab as netbr's and set its MTU to 1500",
		"set net/ipv6/conf/lab/accept_ra to 0",
		"set net/ipv6/conf/lab/autoconf to 0",
		"set net/ipv6/conf/lab/accept_dad to 0",
		"set lab up",
		"set net/ipv6/conf/tap0/disable_ipv6 to 1",
		"add tap0 to lab",
		"switch on lab's multicast snooping",
	};
	struct world *w = world_new();
	struct bridge *b = world_bridge(w, "lab");

	(void)s;
	b->mode = MODE_ISOLATED;
	b->mac_policy = MACP_FIXED;
	assert_true(mac_parse("52:ac:88:7b:54:e5", &b->mac));
	b->at[BK_MAC] = (struct src){ "t", 1 };
	world_tap(w, b, "tap0");
	world_input(w);
	plan_up(&w->in, &w->p);
	expect(&w->p, want, N_ELEMENTS(want));
	/* every creation can be undone */
	assert_int_equal(w->p.v[0]->undo->kind, OP_LINK_DELETE);
	assert_int_equal(w->p.v[1]->undo->kind, OP_LINK_DELETE);
	world_free(w);
}

static void test_foreign_bridge_is_refused(void **s)
{
	struct world *w = world_new();

	(void)s;
	world_bridge(w, "br0")->mode = MODE_ISOLATED;
	world_link(w, "br0", "bridge", "");
	world_input(w);
	plan_up(&w->in, &w->p);
	assert_int_equal(w->p.n, 0);
	assert_int_equal(w->p.n_refusals, 1);
	assert_non_null(strstr(w->p.refusals[0], "netbr did not make it"));
	world_free(w);
}

static void test_down_keeps_what_is_held(void **s)
{
	static const char *const want[] = { "remove tap0" };
	struct world *w = world_new();
	struct bridge *b = world_bridge(w, "br0");
	int index;

	(void)s;
	b->mode = MODE_ISOLATED;
	world_tap(w, b, "tap0");
	world_tap(w, b, "held0");
	index = world_link(w, "br0", "bridge", "netbr br0")->index;
	world_link(w, "tap0", "tun", "netbr br0")->master = index;
	world_link(w, "held0", "tun", "netbr br0")->master = index;
	world_link(w, "docker0", "bridge", "");
	world_input(w);
	plan_down(&w->in, &w->p);
	expect(&w->p, want, N_ELEMENTS(want));
	assert_non_null(strstr(w->p.warnings[0], "held0 is kept"));
	plan_free(&w->p);
	w->in.force = true;
	plan_down(&w->in, &w->p);
	assert_string_equal(w->p.v[0]->sentence, "remove tap0, held0, br0");
	world_free(w);
}

static void test_gone_bridge_is_removed_foreign_is_not(void **s)
{
	static const char *const want[] = { "remove old" };
	struct world *w = world_new();

	(void)s;
	world_bridge(w, "br0")->mode = MODE_ISOLATED;
	world_link(w, "old", "bridge", "netbr old");
	world_link(w, "virbr0", "bridge", "");
	world_link(w, "notours", "bridge", "netbridge");
	world_input(w);
	plan_gone(&w->in, &w->p);
	expect(&w->p, want, N_ELEMENTS(want));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_nothing),
		cmocka_unit_test(test_foreign_bridge_is_refused),
		cmocka_unit_test(test_down_keeps_what_is_held),
		cmocka_unit_test(test_gone_bridge_is_removed_foreign_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
