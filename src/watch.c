/* `watch`: what the rules say of an uplink holds only while it has that MAC
 * address. A station may get another one, or be unplugged and come back: then
 * `up` is run for its bridge, by a process of its own. */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nl.h"
#include "nlop.h"
#include "translate.h"

#define SETTLE_MS 300		/* changes come in bursts */
#define FOLLOW_MS 1000		/* between looks at who was learned */
#define RETRY_MS 5000
#define RETRY_MAX_MS 60000

struct watched {
	const struct bridge *b;
	int index;		/* 0: not there */
	struct mac mac;
	struct list routes;	/* to guests that were learned, by us */
	long long due;		/* when up is to be run, ms; 0: not */
	unsigned int retry_ms;
};

struct watch {
	const struct cli *cli;
	struct watched *v;
	size_t n;
	bool quiet;		/* the first look */
};

/* host = uplink: the bridge has the uplink's addresses too. */
static void on_address(const struct ifaddrmsg *a, struct watch *w)
{
	for (size_t k = 0; k < w->n; k++)
		if (w->v[k].b->host == HOST_UPLINK &&
		    w->v[k].index == (int)a->ifa_index)
			w->v[k].due = now_ms() + SETTLE_MS;
}

/* Another device, or another MAC: up is due when things have settled. */
static void on_link(struct nlmsghdr *h, void *arg)
{
	struct ifinfomsg *i = nlmsg_data(h);
	struct nlattr *a[IFLA_MAX + 1];
	struct watch *w = arg;
	struct mac mac = { 0 };

	if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR) {
		on_address(nlmsg_data(h), w);
		return;
	}
	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
	    i->ifi_family != AF_UNSPEC ||
	    nlmsg_parse(h, sizeof(*i), a, IFLA_MAX, NULL) < 0 ||
	    !a[IFLA_IFNAME])
		return;
	if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == 6)
		memcpy(mac.b, nla_data(a[IFLA_ADDRESS]), 6);
	for (size_t k = 0; k < w->n; k++) {
		struct watched *x = &w->v[k];

		if (!streq(x->b->uplink, nla_get_string(a[IFLA_IFNAME]))) {
			if (x->index == i->ifi_index)
				x->index = 0;	/* renamed */
			continue;
		}
		if (h->nlmsg_type == RTM_DELLINK) {
			if (x->index == i->ifi_index)
				x->index = 0;
			continue;
		}
		if (x->index == i->ifi_index && mac_equal(&x->mac, &mac))
			continue;
		x->index = i->ifi_index;
		x->mac = mac;
		x->retry_ms = RETRY_MS;
		if (!w->quiet)
			x->due = now_ms() + SETTLE_MS;
	}
}

static int run_up(const struct watch *w, const struct bridge *b)
{
	const char *conf = w->cli->config ? w->cli->config : "/etc/vmnet.conf";
	const char *argv[] = { "netbr-apply", "-q", "-c", conf, "--wait", "60",
			       "up", b->name, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execv("/proc/self/exe", (char *const *)argv);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static void act(struct watch *w, struct watched *x)
{
	char text[MAC_TEXT];
	int rc;

	x->due = 0;
	if (!x->index)
		return;		/* gone again */
	msg_info("%s is there with MAC %s: up %s", x->b->uplink,
		 mac_format(&x->mac, text), x->b->name);
	rc = run_up(w, x->b);
	if (rc == 0)
		return;
	msg_warn("up %s ended with %d; again in %u s", x->b->name, rc,
		 x->retry_ms / 1000);
	x->due = now_ms() + x->retry_ms;
	x->retry_ms = x->retry_ms * 2 < RETRY_MAX_MS ? x->retry_ms * 2 :
		      RETRY_MAX_MS;
}

/* Milliseconds until the next thing is due, -1 for never. */
static int next_due(const struct watch *w)
{
	long long first = -1, now = now_ms();

	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].due && (first < 0 || w->v[i].due < first))
			first = w->v[i].due;
	return first < 0 ? -1 : first <= now ? 0 : (int)(first - now);
}

static int look(struct watch *w)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, 0);
	struct nlx once;
	int rc;

	if (!msg || nlmsg_append(msg, &i, sizeof(i), NLMSG_ALIGNTO) < 0)
		abort();
	/* answers and news are kept apart: a dump may lie far behind them */
	rc = nlx_open(&once, NETLINK_ROUTE);
	if (rc < 0) {
		nlmsg_free(msg);
		return rc;
	}
	rc = nlx_dump(&once, msg, on_link, NULL, w);
	nlx_shut(&once);
	return rc;
}

static void read_news(struct watch *w, struct nlx *nl)
{
	ssize_t len = recv(nl_socket_get_fd(nl->sk), nl->in, NLX_IN_SIZE,
			   MSG_TRUNC);
	struct nlmsghdr *h = (struct nlmsghdr *)nl->in;
	int left = len;

	/* news were lost: everything is looked at anew */
	if (len < 0 && errno == ENOBUFS) {
		look(w);
		return;
	}
	if (len < 0 || (size_t)len > NLX_IN_SIZE)
		return;
	for (; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
		on_link(h, w);
}

static void host_route(struct nlx *nl, const char *bridge, const struct ip *ip,
		       bool add)
{
	struct op op = { .kind = add ? OP_ROUTE_ADD : OP_ROUTE_DEL,
			 .route.dst = { .ip = *ip, .plen = ip_bits(ip) } };
	struct nl_msg *msg;
	int rc;

	str_put(op.object, sizeof(op.object), bridge);
	nlop_forget();
	msg = nlop_message(&op, &rc);
	if (msg)
		nlx_ask(nl, msg);	/* there already is as good */
}

/* With host = uplink the host needs a route to each guest. Those of declared
 * addresses are the plan's; who is learned is looked up here. */
static void follow_guests(struct watched *x, struct nlx *nl)
{
	struct translations t;
	struct list now = { 0 };
	char text[IP_TEXT];

	translations_load(&t, x->b->name);
	for (size_t i = 0; i < t.n; i++) {
		if (!t.v[i].learned || ip_is_linklocal6(&t.v[i].ip))
			continue;
		list_add(&now, ip_format(&t.v[i].ip, text), (struct src){ 0 });
		/* again and again: the bridge may be a new one */
		host_route(nl, x->b->name, &t.v[i].ip, true);
	}
	for (size_t i = 0; i < x->routes.n; i++) {
		struct ip ip;

		if (!list_has(&now, x->routes.v[i].text) &&
		    ip_parse(x->routes.v[i].text, &ip))
			host_route(nl, x->b->name, &ip, false);
	}
	list_free(&x->routes);
	x->routes = now;
	free(t.v);
}

static void loop(struct watch *w, struct nlx *nl)
{
	struct nlx changes;
	bool follows = false;
	struct pollfd p = { .fd = nl_socket_get_fd(nl->sk), .events = POLLIN };

	if (nlx_open(&changes, NETLINK_ROUTE) < 0)
		return;
	for (size_t i = 0; i < w->n; i++)
		follows |= w->v[i].b->host == HOST_UPLINK;
	for (;;) {
		int due = next_due(w), rc;

		if (follows && (due < 0 || due > FOLLOW_MS))
			due = FOLLOW_MS;
		rc = poll(&p, 1, due);

		if (rc < 0 && errno != EINTR)
			return;
		if (rc > 0)
			read_news(w, nl);
		for (size_t i = 0; i < w->n; i++)
			if (w->v[i].due && w->v[i].due <= now_ms())
				act(w, &w->v[i]);
		for (size_t i = 0; i < w->n; i++)
			if (w->v[i].b->host == HOST_UPLINK)
				follow_guests(&w->v[i], &changes);
	}
}

static bool chosen(const struct cli *c, const char *name)
{
	for (int i = 0; i < c->n_args; i++)
		if (streq(c->args[i], name))
			return true;
	return !c->n_args;
}

int verb_watch(const struct cli *c, const struct model *m)
{
	struct watch w = { .cli = c, .quiet = true };
	struct nlx nl;
	int rc;

	for (size_t i = 0; i < m->n_bridges; i++) {
		const struct bridge *b = m->bridges[i];

		if (!b->uplink || !chosen(c, b->name))
			continue;
		ARRAY_GROW(w.v, w.n);
		w.v[w.n++] = (struct watched){ .b = b, .retry_ms = RETRY_MS };
	}
	if (!w.n) {
		msg_error("no bridge with an uplink to watch");
		return RC_USAGE;
	}
	rc = nlx_open(&nl, NETLINK_ROUTE);
	if (rc == 0) {
		/* first listening, then looking: nothing falls between */
		rc = nl_socket_add_memberships(nl.sk, RTNLGRP_LINK,
					       RTNLGRP_IPV4_IFADDR,
					       RTNLGRP_IPV6_IFADDR, 0) < 0 ?
		     -EIO :
		     look(&w);
		w.quiet = false;
		if (rc == 0)
			loop(&w, &nl);
		nlx_shut(&nl);
	}
	msg_error("watch: %s", strerror(rc ? -rc : errno));
	free(w.v);
	return RC_FAILED;
}
