#include "verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "oldfiles.h"
#include "report.h"
#include "run.h"
#include "try.h"

/* What leaves the configuration goes with a plan of its own; and the kernel
 * takes things along of its own accord (a route with its address), so that
 * what is missing afterwards is done in another round. */
#define MAX_PLANS 4

/* One run: what is done goes back whole. */
struct work {
	struct session *s;
	struct state old;
	struct run_env env;
	struct guard guard;
	struct plan plans[MAX_PLANS];	/* in order; each knows the one before */
	size_t n_plans, steps;
};

static void work_begin(struct work *w, struct session *s)
{
	*w = (struct work){ .s = s, .guard = { -1, -1 } };
	state_copy(&w->old, &s->st);
	w->env = (struct run_env){ &s->nl, s->cli->root, &w->old };
}

static void work_end(struct work *w)
{
	guard_end(&w->guard);
	for (size_t i = 0; i < w->n_plans; i++)
		plan_free(&w->plans[i]);
	state_free(&w->old);
}

/* The next plan, still empty. */
static struct plan *next_plan(struct work *w)
{
	struct plan *p = &w->plans[w->n_plans];

	p->before = w->n_plans ? p - 1 : NULL;
	w->n_plans++;
	return p;
}

/* Nothing in it: it need not be run, nor undone. */
static void drop_plan(struct work *w)
{
	plan_free(&w->plans[--w->n_plans]);
}

static int say_refusals(const struct plan *p)
{
	for (size_t i = 0; i < p->n_warnings; i++)
		msg_warn("%s", p->warnings[i]);
	for (size_t i = 0; i < p->n_refusals; i++)
		msg_error("%s", p->refusals[i]);
	return p->n_refusals ? RC_FAILED : RC_OK;
}

static int say_undone(enum run_result r)
{
	if (r == RUN_UNDONE) {
		msg_error("everything was undone: the old state is in force");
		return RC_FAILED;
	}
	msg_error("what is left is named above; put it right and run "
		  "'netbr-apply up', or 'netbr-apply down'");
	return RC_BROKEN;
}

/* It worked, but can't go on, be recorded or verified: then it has not
 * worked. */
static int take_back(struct work *w)
{
	return say_undone(run_undo(&w->env, &w->plans[w->n_plans - 1]));
}

/* The record first: it holds how things were, and must be there even if we
 * are killed in the middle. Then the steps of the last plan. */
static int execute(struct work *w)
{
	struct plan *p = &w->plans[w->n_plans - 1];
	int rc = state_save(&w->s->st, w->env.root);
	enum run_result r;

	if (rc < 0) {
		msg_error("the record in %s/run/netbr can't be written: %s; "
			  "nothing was changed", w->env.root, strerror(-rc));
		return p->before ? take_back(w) : RC_FAILED;
	}
	guard_end(&w->guard);
	r = run_plan(&w->env, p, &w->guard);
	w->steps += p->n;
	return r == RUN_DONE ? RC_OK : say_undone(r);
}

static void say_left(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct op *op = p->v[i];

		if (op->attr)
			msg_error("%s%s%s: wanted %s, but the kernel has %s",
				  op->object, *op->object ? " " : "", op->attr,
				  op->want, op->have);
		else
			msg_error("still to be done: %s", op->sentence);
	}
	say_refusals(p);
}

/* Reads everything again. What the kernel silently clamped or ignored, or
 * took along with something else, shows up as a plan that is not empty. */
static int verify(struct work *w)
{
	int rc = RC_OK;

	while (rc == RC_OK) {
		struct plan *left;

		if (session_save(w->s) < 0 ||
		    session_dump(w->s, &w->plans[w->n_plans - 1]) != RC_OK)
			return take_back(w);
		left = next_plan(w);
		w->s->in.no_screens = run_screens_missing;
		plan_up(&w->s->in, left);
		if (!left->n && !left->n_refusals) {
			drop_plan(w);
			return RC_OK;
		}
		if (w->n_plans == MAX_PLANS || left->n_refusals) {
			say_left(left);
			drop_plan(w);
			return take_back(w);
		}
		rc = execute(w);
	}
	return rc;
}

/* Bridges that left the config go first, with a plan of their own. */
static int up_gone(struct work *w)
{
	struct plan *p = next_plan(w);
	int rc;

	plan_gone(&w->s->in, p);
	rc = say_refusals(p);
	if (rc != RC_OK)
		return rc;
	if (!p->n) {
		drop_plan(w);
		return RC_OK;
	}
	rc = execute(w);
	return rc == RC_OK ? session_dump(w->s, p) : rc;
}

/* Everything `up` does; the guard watches still. */
static int up_steps(struct work *w, bool even_if_empty)
{
	int rc = session_all(w->s) ? up_gone(w) : RC_OK;
	struct plan *p;

	if (rc != RC_OK)
		return rc;
	p = next_plan(w);
	plan_up(&w->s->in, p);
	rc = say_refusals(p);
	if (rc != RC_OK && p->before)
		return take_back(w);
	if (rc != RC_OK) {
		msg_error("nothing was changed");
		return rc;
	}
	if (!p->n && !p->before && !even_if_empty)
		return RC_OK;
	rc = execute(w);
	return rc == RC_OK ? verify(w) : rc;
}

static void say_done(const struct work *w, const char *verb)
{
	if (!w->steps)
		msg_info("nothing to do: everything is as it should be");
	else
		msg_info("%s: %zu steps done", verb, w->steps);
}

int verb_up(struct session *s)
{
	struct work w;
	int rc;

	work_begin(&w, s);
	rc = up_steps(&w, false);
	if (rc == RC_OK) {
		if (w.steps) {
			report_hints(s);
			state_tidy(&s->st, s->cli->root);
		}
		say_done(&w, "up");
		oldfiles_forget(s->cli->root);
	}
	work_end(&w);
	return rc;
}

int verb_down(struct session *s)
{
	struct work w;
	int rc;

	work_begin(&w, s);
	plan_down(&s->in, next_plan(&w));
	rc = say_refusals(&w.plans[0]);
	if (rc == RC_OK)
		rc = execute(&w);
	if (rc == RC_OK && session_save(s) < 0)
		rc = take_back(&w);
	if (rc == RC_OK) {
		state_tidy(&s->st, s->cli->root);
		say_done(&w, "down");
	}
	work_end(&w);
	return rc;
}

int verb_show(struct session *s, bool status)
{
	struct plan p = { 0 };
	bool refused;
	int rc;

	if (session_all(s))
		plan_gone(&s->in, &p);
	plan_up(&s->in, &p);
	refused = p.n_refusals;
	rc = say_refusals(&p);
	if (refused)
		msg_error("nothing was changed");
	if (status) {
		report_status(s, &p, s->cli->json);
	} else if (!refused) {
		report_hints(s);
		report_plan(s, &p, s->cli->json);
	}
	if (rc == RC_OK && p.n)
		rc = RC_DIFFERENT;
	plan_free(&p);
	return rc;
}

/* ---- try -------------------------------------------------------------- */

/* With STP a port takes twice the forward delay until it forwards: before
 * that nobody could confirm over it. */
static unsigned int try_timeout(const struct session *s)
{
	unsigned int t = s->cli->timeout_s;

	for (size_t i = 0; i < s->n_bridges; i++) {
		const struct bridge *b = s->bridges[i];
		unsigned int need = 2 * b->forward_delay_cs / 100 + 10;

		if (b->stp && t < need) {
			msg_info("the timeout is raised from %u to %u s: "
				 "%s's ports forward %lu s after they are up",
				 t, need, b->name, 2 * b->forward_delay_cs /
				 100);
			t = need;
		}
	}
	return t;
}

static volatile sig_atomic_t interrupted;

static void on_int(int sig)
{
	interrupted = sig;
}

/* May we read the terminal? Not in the background. */
static bool on_terminal(int fd)
{
	return isatty(fd) && tcgetpgrp(fd) == getpgrp();
}

static void say_time(time_t end)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%3ld s left: 'netbr-apply confirm' or Enter "
			"keeps it, Ctrl-C goes back ", (long)(end - time(NULL)));
}

/* The guard decides; we only show it, and pass on what the keyboard says. */
static int wait_for_end(struct guard *g, unsigned int timeout_s)
{
	struct sigaction a = { .sa_handler = on_int };
	bool keys = on_terminal(STDIN_FILENO), told = false;
	time_t end = time(NULL) + timeout_s;
	int rc;

	sigaction(SIGINT, &a, NULL);
	msg_info("done; it goes back in %u s unless 'netbr-apply confirm' "
		 "comes first", timeout_s);
	for (;;) {
		struct pollfd p[2] = { { g->fd, POLLIN, 0 },
				       { keys ? STDIN_FILENO : -1, POLLIN, 0 } };
		char c = 0;

		say_time(end);
		if (poll(p, 2, 1000) > 0 && p[0].revents)
			break;
		if (p[1].revents && read(STDIN_FILENO, &c, 1) != 1)
			keys = false;
		if (!told && (interrupted || c == '\n')) {
			c = interrupted ? 'r' : 'c';
			told = write(g->fd, &c, 1) == 1;
		}
	}
	rc = guard_outcome(g);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	return rc;
}

static int hold(struct work *w)
{
	unsigned int timeout_s = try_timeout(w->s);
	int rc = guard_hold(&w->guard, timeout_s);

	if (rc < 0) {
		msg_error("nobody could undo this later (%s), so it is undone "
			  "now", strerror(-rc));
		oldfiles_restore(w->env.root);
		return take_back(w);
	}
	rc = wait_for_end(&w->guard, timeout_s);
	if (rc == RC_OK)
		msg_info("confirmed");
	else if (rc == RC_UNCONFIRMED)
		msg_error("not confirmed: the old state is in force; "
			  "vmnet.conf still says otherwise");
	else
		msg_error("going back was not complete: the system log says "
			  "what is left");
	return rc;
}

int verb_try(struct session *s)
{
	bool files = oldfiles_any(s->cli->root);
	struct work w;
	int rc;

	work_begin(&w, s);
	rc = up_steps(&w, files);
	if (rc != RC_OK && files) {
		/* a try takes the files along in both directions */
		oldfiles_restore(s->cli->root);
	} else if (rc == RC_OK) {
		if (w.steps || files)
			rc = hold(&w);
		else
			say_done(&w, "try");
	}
	work_end(&w);
	return rc;
}

int verb_confirm(const struct cli *c)
{
	int rc = try_ask(c->root, "confirm");

	if (rc >= 0)
		return rc;
	if (rc == -ENOENT)
		msg_error("no try waits for a confirmation");
	else
		msg_error("the try can't be asked: %s", strerror(-rc));
	return RC_FAILED;
}

int verb_revert(const struct cli *c)
{
	int rc = try_ask(c->root, "revert");
	int lock;

	if (rc >= 0 || rc != -ENOENT || !oldfiles_any(c->root)) {
		if (rc == -ENOENT)
			msg_error("no try waits, and no file of netbr-gen's "
				  "is to be put back");
		else if (rc < 0)
			msg_error("the try can't be asked: %s", strerror(-rc));
		return rc < 0 ? RC_FAILED : rc;
	}
	/* files that no up has accepted */
	lock = cli_lock(c);
	if (lock < 0)
		return -lock;
	rc = oldfiles_restore(c->root) ? RC_BROKEN : RC_OK;
	close(lock);
	return rc;
}
