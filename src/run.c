#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "dhcpc.h"
#include "dnsmasq.h"
#include "fw.h"
#include "lease.h"
#include "nldump.h"
#include "nlop.h"
#include "oldfiles.h"
#include "progress.h"
#include "sys.h"
#include "translate.h"
#include "try.h"
#include "wifi.h"

/* ---- one operation ---------------------------------------------------- */

/* Why the last operation failed beyond its errno; "" if no more is known. */
static char *why;

static void set_why(const char *text)
{
	free(why);
	why = text && *text ? xstrdup(text) : NULL;
}

static int do_message(struct nlx *nl, const struct op *op)
{
	int rc;
	struct nl_msg *msg = nlop_message(op, &rc);

	if (!msg)
		return rc;
	rc = nlx_ask(nl, msg);
	set_why(nl->why);
	return rc;
}

/* A bridge without a port has no carrier, and sends nothing until some time
 * after it got one: so it gets one before the uplink joins. */
static int hold_carrier(struct nlx *nl, const char *bridge)
{
	struct op join = { .kind = OP_LINK_SET,
			   .set = { .has = LS_MASTER | LS_UP, .up = true } };
	int rc = carrier_make(join.object);

	str_put(join.set.master, IFNAMSIZ, bridge);
	if (rc == 0)
		rc = do_message(nl, &join);
	if (rc == 0 && !carrier_wait(bridge))
		rc = -ETIMEDOUT;
	if (rc < 0)
		carrier_drop();
	return rc;
}

/* Before an address leaves a link, the other one must send, and answer for
 * it. Only waited for: what is true in the end is read back anyway. */
static void settle(struct nlx *nl, const char *link)
{
	int index = if_nametoindex(link);

	carrier_wait(link);
	for (int ms = 0; index && ms < 2000 && !nldump_settled(nl, index);
	     ms++)
		usleep(1000);
}

/* The LAN knows guests behind an uplink's MAC by that MAC. */
static void announce_guests(const char *bridge, const char *uplink)
{
	struct translations t;

	translations_load(&t, bridge);
	for (size_t i = 0; i < t.n; i++)
		if (t.v[i].ip.family == AF_INET)
			announce_ip(uplink, t.v[i].ip.b);
	free(t.v);
}

bool run_screens_missing;

static int do_op(const struct run_env *e, const struct op *op)
{
	char *text = NULL;
	int rc = 0;

	set_why(NULL);
	nlop_forget();
	switch (op->kind) {
	case OP_BRIDGE_CREATE:
	case OP_VETH_CREATE:
	case OP_LINK_SET:
	case OP_ADDR_ADD:
	case OP_ADDR_DEL:
	case OP_ROUTE_ADD:
	case OP_ROUTE_DEL:
	case OP_NEIGH_ADD:
	case OP_PROXY:
	case OP_RATE:
		return do_message(e->nl, op);
	case OP_TAP_CREATE:
		return tap_create(op->object, &op->tun, op->queues);
	case OP_LINK_DELETE:
		rc = nlop_delete_links(e->nl, op->names.v, op->names.n,
				       progress_add);
		set_why(e->nl->why);
		return rc;
	case OP_SYSCTL:
		return sysctl_write(op->path, op->value);
	case OP_ANNOUNCE:
		announce(op->object);
		if (op->value)
			announce_guests(op->bridge, op->value);
		return 0;
	case OP_FIREWALL:
		if (op->delta && fw_change(op->bridge, op->delta) == 0)
			return 0;
		rc = fw_load(op->backend, op->bridge, op->text, &text);
		set_why(text);
		free(text);
		return rc;
	case OP_DNSMASQ:
		rc = dnsmasq_do(e->root, op->bridge, op->dns, &text);
		set_why(text);
		free(text);
		return rc;
	case OP_CARRIER:
		if (op->hold)
			return hold_carrier(e->nl, op->object);
		carrier_drop();
		return 0;
	case OP_4ADDR:
		rc = wifi_set_4addr(op->object, op->hold);
		if (rc == -EOPNOTSUPP)
			set_why("the driver has no 4-address mode: use mode "
				"= macnat");
		return rc;
	case OP_ASK:
		if (arp_answers(op->object, op->server.b, 5000))
			return 0;
		set_why("no answer: the access point does not take 4-address "
			"frames (hostapd: wds_sta=1); use mode = macnat");
		return -EHOSTUNREACH;
	case OP_SCREEN:
		rc = op->code ? nlx_ask(e->nl, nlop_clsact(op->object)) : 0;
		if (rc == 0 || rc == -EEXIST)
			rc = do_message(e->nl, op);
		if (!op->code || (rc != -ENOENT && rc != -EOPNOTSUPP))
			return rc;
		/* better a filter with holes, and said, than no network */
		if (!run_screens_missing)
			msg_warn("guests are filtered by ebtables alone, which "
				 "does not see forged neighbour discovery and "
				 "DHCP: the kernel lacks "
				 "CONFIG_NET_SCH_INGRESS or CONFIG_NET_CLS_BPF "
				 "(or install nft)");
		run_screens_missing = true;
		return 0;
	case OP_SETTLE:
		settle(e->nl, op->object);
		return 0;
	case OP_LEASE:
		return lease_release(e->root, op->bridge, &op->server,
				     &op->lease);
	case OP_CLIENT_STOP:
		return dhcpc_stop(op->object, op->pid);
	case OP_CLIENT_START:
		return dhcpc_start(op->object, op->argv);
	}
	return rc;
}

/* "Not there any more" is as good as removed, where the plan says so. */
static bool harmless(const struct op *op, int rc)
{
	if (op->kind == OP_NEIGH_ADD)
		return true;	/* then it will be asked for */
	if ((op->kind == OP_ADDR_ADD || op->kind == OP_ROUTE_ADD) &&
	    rc == -EEXIST)
		return true;
	return op->may_fail && (rc == -ENOENT || rc == -ESRCH ||
				rc == -ENODEV || rc == -EADDRNOTAVAIL);
}

static void report(const char *prefix, const struct op *op, int rc)
{
	msg_error("%s%s: %s%s%s", prefix,
		  op->sentence ? op->sentence : "a step", strerror(-rc),
		  why ? ": " : "", why ? why : "");
}

/* ---- undoing ---------------------------------------------------------- */

/* Is what this step would bring back still there (its removal was planned,
 * but not reached)? */
static bool still_there(const struct op *u)
{
	return (u->kind == OP_BRIDGE_CREATE || u->kind == OP_TAP_CREATE ||
		u->kind == OP_VETH_CREATE) &&
	       u->may_fail && link_exists(u->object);
}

/* One undo step; what is gone already needs none. */
static int undo_step(const struct run_env *e, const struct op *u)
{
	int rc = still_there(u) ? 0 : do_op(e, u);

	if (rc && (harmless(u, rc) ||
		   (rc == -ENODEV && u->kind != OP_FIREWALL)))
		return 0;
	return rc;
}

static int undo_op(const struct run_env *e, const struct op *op)
{
	int rc = 0;

	for (const struct op *u = op->undo; u; u = u->next) {
		int this = undo_step(e, u);

		if (this)
			rc = this;
	}
	return rc;
}

/* Steps are idempotent. One that fails may need what an earlier one gives
 * back (a route its neighbour's): so those that failed are tried again
 * while that helps, and only then reported. */
static unsigned int undo_plan(const struct run_env *e, struct plan *p)
{
	unsigned int failed = 1, before = 0;

	for (int pass = 0; failed && (pass < 2 || failed < before); pass++) {
		before = failed;
		failed = 0;
		for (size_t i = p->n; i-- > 0;) {
			if (!p->v[i]->done)
				continue;
			msg_debug("undo: %s", p->v[i]->sentence);
			if (undo_op(e, p->v[i]))
				failed++;
			else
				p->v[i]->done = false;
		}
	}
	for (size_t i = p->n; i-- > 0;)
		if (p->v[i]->done)
			report("could not undo: ", p->v[i],
			       undo_op(e, p->v[i]));
	return failed;
}

enum run_result run_undo(const struct run_env *e, struct plan *p)
{
	unsigned int failed = 0;
	int rc;

	for (; p; p = p->before)
		failed += undo_plan(e, p);
	/* what is left needs the record that knows of it */
	if (failed)
		return RUN_BROKEN;
	rc = state_save(e->old, e->root);
	if (rc < 0) {
		msg_error("the record of how things were can't be written: "
			  "%s", strerror(-rc));
		return RUN_BROKEN;
	}
	return RUN_UNDONE;
}

/* ---- the guard -------------------------------------------------------- */

/* What the run tells its guard. */
enum { GUARD_END = -1, GUARD_HOLD = -2 };

static bool tell(int fd, int n)
{
	ssize_t sent;

	do
		sent = send(fd, &n, sizeof(n), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == sizeof(n);
}

/* Reads one number; false at the end of the connection. */
static bool hear(int fd, int *n)
{
	ssize_t got;

	do
		got = recv(fd, n, sizeof(*n), MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	return got == sizeof(*n);
}

/* Its own session, deaf to what ends the caller, and the last that the
 * kernel takes when memory runs out. */
static void guard_settle(void)
{
	static const int deaf[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE,
				    SIGQUIT, SIGTSTP, SIGTTOU };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	setsid();
	for (size_t i = 0; i < N_ELEMENTS(deaf); i++)
		signal(deaf[i], SIG_IGN);
	if (fd >= 0) {
		if (write(fd, "-1000", 5) < 0)
			msg_debug("guard: %s", strerror(errno));
		close(fd);
	}
}

/* The caller's terminal may go: nothing of it is kept open. */
static void guard_detach(const struct run_env *e)
{
	_cleanup_free_ char *lock = path_join(e->root, "/run/netbr/lock");
	_cleanup_fd_ int fd = open(lock, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char text[80];

	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	if (null > 2)
		close(null);
	diag_syslog();
	/* who finds the lock taken reads why */
	snprintf(text, sizeof(text), "%d, a try that waits for 'netbr-apply "
		 "confirm'\n", (int)getpid());
	if (fd >= 0 && pwrite(fd, text, strlen(text), 0) < 0)
		msg_debug("lock: %s", strerror(errno));
}

/* Over a socket of the guard's own: the run's is shared with it. */
static enum run_result undo_with(const struct run_env *e, struct nlx *nl,
				 struct plan *p)
{
	struct run_env mine = { nl, e->root, e->old };

	return run_undo(&mine, p);
}

/* Holds what was done until it is confirmed, or goes back. Ends. */
static void __attribute__((noreturn)) guard_hold_main(struct plan *p,
						      const struct run_env *e,
						      int fd, int listener,
						      unsigned int timeout_s)
{
	enum run_result r = RUN_DONE;
	enum try_end end;
	struct nlx nl;
	int client;

	guard_detach(e);
	end = try_wait(listener, fd, timeout_s, &client);
	if (end == TRY_CONFIRMED) {
		msg_info("the try was confirmed");
		oldfiles_forget(e->root);
	} else {
		msg_warn("the try was %s: going back", end == TRY_TIMEOUT ?
			 "not confirmed in time" : "revoked");
		if (nlx_open(&nl, NETLINK_ROUTE) < 0)
			_exit(RC_BROKEN);
		/* files first: dnsmasq reads them again in an undo step */
		r = oldfiles_restore(e->root) ? RUN_BROKEN : RUN_UNDONE;
		if (undo_with(e, &nl, p) == RUN_BROKEN)
			r = RUN_BROKEN;
		msg_info("the old state is in force%s",
			 r == RUN_BROKEN ? " but for what is named above" :
			 "");
	}
	try_unlink(e->root);
	tell(fd, end == TRY_CONFIRMED ? RC_OK : r == RUN_BROKEN ? RC_BROKEN :
	     RC_UNCONFIRMED);
	try_answer(client, r == RUN_BROKEN ? RC_BROKEN : RC_OK);
	_exit(0);
}

/* In the guard. The end of the connection without GUARD_END means that the
 * run has died; its last step that was begun stands in memory of both. */
static void __attribute__((noreturn)) guard_main(struct plan *p,
						 const struct run_env *e,
						 int fd, const int *shared)
{
	int begun, n, listener;
	struct nlx nl;

	guard_settle();
	while (hear(fd, &n)) {
		if (n == GUARD_END)
			_exit(0);
		if (n != GUARD_HOLD)
			continue;
		for (size_t i = 0; i < p->n; i++)
			p->v[i]->done = true;
		if (!hear(fd, &n))
			break;
		listener = try_listen(e->root);
		tell(fd, listener < 0 ? listener : 0);
		if (listener >= 0)
			guard_hold_main(p, e, fd, listener, n);
	}
	begun = __atomic_load_n(shared, __ATOMIC_SEQ_CST);
	for (int i = 0; i <= begun && i < (int)p->n; i++)
		p->v[i]->done = true;
	if ((begun >= 0 || p->before) && nlx_open(&nl, NETLINK_ROUTE) == 0) {
		msg_error("the run died: undoing what it had done");
		undo_with(e, &nl, p);
	}
	_exit(0);
}

static void guard_start(struct guard *g, struct plan *p,
			const struct run_env *e)
{
	int fd[2];

	*g = (struct guard){ .pid = -1, .fd = -1 };
	g->begun = mmap(NULL, sizeof(*g->begun), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->begun == MAP_FAILED)
		g->begun = NULL;
	if (!g->begun ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return;
	*g->begun = -1;
	g->pid = fork();
	if (g->pid == 0) {
		close(fd[1]);
		guard_main(p, e, fd[0], g->begun);
	}
	close(fd[0]);
	g->fd = fd[1];
	if (g->pid < 0) {
		close(g->fd);
		g->fd = -1;
	}
}

void guard_end(struct guard *g)
{
	/* left without a word it would undo everything */
	if (g->pid > 0 && !tell(g->fd, GUARD_END))
		kill(g->pid, SIGKILL);
	if (g->fd >= 0)
		close(g->fd);
	while (g->pid > 0 && waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (g->begun)
		munmap(g->begun, sizeof(*g->begun));
	*g = (struct guard){ .pid = -1, .fd = -1 };
}

int guard_hold(struct guard *g, unsigned int timeout_s)
{
	int rc;

	if (g->fd < 0 || !tell(g->fd, GUARD_HOLD) || !tell(g->fd, timeout_s))
		return -ESRCH;
	return hear(g->fd, &rc) ? rc : -ESRCH;
}

int guard_outcome(struct guard *g)
{
	int rc = RC_BROKEN;

	if (!hear(g->fd, &rc))
		msg_error("the guard of the try has died: what it tried stays "
			  "in force; 'netbr-apply down' takes it away");
	close(g->fd);
	waitpid(g->pid, NULL, 0);
	munmap(g->begun, sizeof(*g->begun));
	*g = (struct guard){ .pid = -1, .fd = -1 };
	return rc;
}

/* ---- doing ------------------------------------------------------------ */

static bool batch_ignores(void *arg, unsigned int n, int rc)
{
	struct op **ops = arg;

	return harmless(ops[n], rc);
}

/* While a port joins or leaves, the kernel drops what arrives on it: for
 * microseconds, unless another process is let in just then. */
static void be_quick(bool on)
{
	static bool is_on;
	struct sched_param p = { .sched_priority = on ? 1 : 0 };

	if (on == is_on)
		return;
	is_on = on;
	sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p);
}

/* The operations [i, end) in one send. Marks those that were done. */
static int do_batch(const struct run_env *e, struct plan *p, size_t i, size_t end,
		    size_t *failed_at)
{
	struct nlx_batch b = { 0 };
	unsigned int failed = 0;
	bool quick = false;
	int rc = 0;

	nlop_forget();
	for (size_t k = i; k < end; k++) {
		struct nl_msg *msg = nlop_message(p->v[k], &rc);
		struct nl_msg *look = msg ? nlop_look(p->v[k]) : NULL;

		/* routes change hands here: traffic is waiting */
		quick |= p->v[k]->kind == OP_ROUTE_ADD;
		if (!msg) {
			buf_free(&b.bytes);
			*failed_at = k;
			return rc;
		}
		if (look)
			nlx_batch_mark(e->nl, &b, look);
		nlx_batch_add(e->nl, &b, msg);
	}
	/* all of them reach the kernel, whatever happens to one */
	for (size_t k = i; k < end; k++)
		p->v[k]->done = true;
	be_quick(quick);
	rc = nlx_batch_send(e->nl, &b, &failed, batch_ignores, p->v + i);
	be_quick(false);
	set_why(e->nl->why);
	*failed_at = i + failed;
	return rc;
}

static size_t batch_end(const struct plan *p, size_t i)
{
	size_t end = i + 1;

	while (p->v[i]->batch && end < p->n &&
	       p->v[end]->batch == p->v[i]->batch)
		end++;
	return end;
}

static int do_steps(const struct run_env *e, struct plan *p,
		    struct guard *g, size_t *failed_at)
{
	for (size_t i = 0, end; i < p->n; i = end) {
		int rc;

		end = batch_end(p, i);
		*failed_at = i;
		for (size_t k = i; k < end; k++)
			msg_debug("%s", p->v[k]->sentence);
		if (g->begun)
			__atomic_store_n(g->begun, end - 1, __ATOMIC_SEQ_CST);
		if (end - i > 1) {
			rc = do_batch(e, p, i, end, failed_at);
		} else {
			rc = do_op(e, p->v[i]);
			if (rc && harmless(p->v[i], rc))
				rc = 0;
			/* Without an answer it may have been done, and a
			 * helper may have got half-way: undo steps do no
			 * harm where there is nothing to undo. But a link
			 * that was there already is somebody else's. */
			p->v[i]->done = rc != -EEXIST ||
					(p->v[i]->kind != OP_BRIDGE_CREATE &&
					 p->v[i]->kind != OP_VETH_CREATE);
		}
		if (rc)
			return rc;
		/* each link that is deleted has been counted */
		if (p->v[i]->kind != OP_LINK_DELETE)
			progress_add(end - i);
	}
	return 0;
}

static size_t steps_of(const struct plan *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->v[i]->kind == OP_LINK_DELETE ? p->v[i]->names.n : 1;
	return n;
}

enum run_result run_plan(const struct run_env *e, struct plan *p,
			 struct guard *g)
{
	enum run_result undone;
	size_t failed_at = 0;
	int rc;

	guard_start(g, p, e);
	progress_begin(steps_of(p));
	rc = do_steps(e, p, g, &failed_at);
	progress_end();
	if (rc == 0)
		return RUN_DONE;
	report("", p->v[failed_at], rc);
	undone = run_undo(e, p);
	guard_end(g);
	return undone;
}
