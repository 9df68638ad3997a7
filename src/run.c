#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "fw.h"
#include "nlop.h"
#include "sys.h"

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

static int do_op(struct nlx *nl, const struct op *op)
{
	char *text = NULL;
	int rc = 0;

	set_why(NULL);
	switch (op->kind) {
	case OP_BRIDGE_CREATE:
	case OP_LINK_SET:
	case OP_ADDR_ADD:
	case OP_ADDR_DEL:
	case OP_ROUTE_ADD:
	case OP_ROUTE_DEL:
	case OP_NEIGH_ADD:
		return do_message(nl, op);
	case OP_TAP_CREATE:
		return tap_create(op->object, &op->tun, op->queues);
	case OP_LINK_DELETE:
		rc = nlop_delete_links(nl, op->names.v, op->names.n);
		set_why(nl->why);
		return rc;
	case OP_SYSCTL:
		return sysctl_write(op->path, op->value);
	case OP_ANNOUNCE:
		announce(op->object);
		return 0;
	case OP_FIREWALL:
		rc = fw_load(op->backend, op->bridge, op->text, &text);
		set_why(text);
		free(text);
		return rc;
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

/* One undo step; what is gone already needs none. */
static int undo_step(struct nlx *nl, const struct op *u)
{
	int rc = do_op(nl, u);

	if (rc && (harmless(u, rc) ||
		   (rc == -ENODEV && u->kind != OP_FIREWALL)))
		return 0;
	return rc;
}

static int undo_op(struct nlx *nl, const struct op *op)
{
	int rc = 0;

	for (const struct op *u = op->undo; u; u = u->next) {
		int this = undo_step(nl, u);

		if (this)
			rc = this;
	}
	return rc;
}

/* Steps are idempotent. One that fails may need what an earlier one gives
 * back (a route its neighbour's): so those that failed are tried again
 * while that helps, and only then reported. */
unsigned int run_undo_done(struct nlx *nl, struct plan *p)
{
	unsigned int failed = 1, before = 0;

	for (int pass = 0; failed && (pass < 2 || failed < before); pass++) {
		before = failed;
		failed = 0;
		for (size_t i = p->n; i-- > 0;) {
			if (!p->v[i]->done)
				continue;
			msg_debug("undo: %s", p->v[i]->sentence);
			if (undo_op(nl, p->v[i]))
				failed++;
			else
				p->v[i]->done = false;
		}
	}
	for (size_t i = p->n; i-- > 0;)
		if (p->v[i]->done)
			report("could not undo: ", p->v[i],
			       undo_op(nl, p->v[i]));
	return failed;
}

enum run_result run_undo(struct nlx *nl, struct plan *p)
{
	return run_undo_done(nl, p) ? RUN_BROKEN : RUN_UNDONE;
}

/* ---- the guard -------------------------------------------------------- */

struct guard {
	pid_t pid;
	int pipe;
};

/* In the guard: an int arrives before each step that is begun, -1 when all
 * is well. The end of the pipe without it means that the run has died. */
static void __attribute__((noreturn)) guard_main(struct plan *p, int fd)
{
	int begun = -1, n;
	struct nlx nl;
	ssize_t got;

	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	for (;;) {
		got = read(fd, &n, sizeof(n));
		if (got < 0 && errno == EINTR)
			continue;
		if (got != sizeof(n))
			break;
		if (n < 0)
			_exit(0);
		begun = n;
	}
	for (int i = 0; i <= begun && i < (int)p->n; i++)
		p->v[i]->done = true;
	if (begun >= 0 && nlx_open(&nl, NETLINK_ROUTE) == 0) {
		msg_error("the run died: undoing what it had done");
		run_undo_done(&nl, p);
	}
	_exit(0);
}

static void guard_start(struct guard *g, struct plan *p)
{
	int fd[2];

	*g = (struct guard){ .pid = -1, .pipe = -1 };
	if (pipe2(fd, O_CLOEXEC) < 0)
		return;
	g->pid = fork();
	if (g->pid == 0) {
		close(fd[1]);
		guard_main(p, fd[0]);
	}
	close(fd[0]);
	g->pipe = fd[1];
	if (g->pid < 0) {
		close(g->pipe);
		g->pipe = -1;
	}
}

static void guard_tell(struct guard *g, int step)
{
	if (g->pipe >= 0 && write(g->pipe, &step, sizeof(step)) < 0)
		msg_debug("guard: %s", strerror(errno));
}

static void guard_end(struct guard *g)
{
	guard_tell(g, -1);
	if (g->pipe >= 0)
		close(g->pipe);
	while (g->pid > 0 && waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- doing ------------------------------------------------------------ */

static bool batch_ignores(void *arg, unsigned int n, int rc)
{
	struct op **ops = arg;

	return harmless(ops[n], rc);
}

/* The operations [i, end) in one send. Marks those that were done. */
static int do_batch(struct nlx *nl, struct plan *p, size_t i, size_t end,
		    size_t *failed_at)
{
	struct nlx_batch b = { 0 };
	unsigned int failed = 0;
	int rc = 0;

	for (size_t k = i; k < end; k++) {
		struct nl_msg *msg = nlop_message(p->v[k], &rc);

		if (!msg) {
			buf_free(&b.bytes);
			*failed_at = k;
			return rc;
		}
		nlx_batch_add(nl, &b, msg);
	}
	/* all of them reach the kernel, whatever happens to one */
	for (size_t k = i; k < end; k++)
		p->v[k]->done = true;
	rc = nlx_batch_send(nl, &b, &failed, batch_ignores, p->v + i);
	set_why(nl->why);
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

static int do_steps(struct nlx *nl, struct plan *p, struct guard *g,
		    size_t *failed_at)
{
	for (size_t i = 0, end; i < p->n; i = end) {
		int rc;

		end = batch_end(p, i);
		*failed_at = i;
		for (size_t k = i; k < end; k++)
			msg_debug("%s", p->v[k]->sentence);
		guard_tell(g, end - 1);
		if (end - i > 1) {
			rc = do_batch(nl, p, i, end, failed_at);
		} else {
			rc = do_op(nl, p->v[i]);
			if (rc && harmless(p->v[i], rc))
				rc = 0;
			/* Without an answer it may have been done, and a
			 * helper may have got half-way: undo steps do no
			 * harm where there is nothing to undo. But a link
			 * that was there already is somebody else's. */
			p->v[i]->done = rc != -EEXIST ||
					p->v[i]->kind != OP_BRIDGE_CREATE;
		}
		if (rc)
			return rc;
	}
	return 0;
}

enum run_result run_plan(struct nlx *nl, struct plan *p)
{
	struct guard g;
	size_t failed_at = 0;
	unsigned int failed;
	int rc;

	guard_start(&g, p);
	rc = do_steps(nl, p, &g, &failed_at);
	if (rc == 0) {
		guard_end(&g);
		return RUN_DONE;
	}
	report("", p->v[failed_at], rc);
	failed = run_undo_done(nl, p);
	guard_end(&g);
	return failed ? RUN_BROKEN : RUN_UNDONE;
}
