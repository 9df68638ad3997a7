/* netbr-apply: makes the live kernel match vmnet.conf. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "run.h"
#include "spawn.h"

static const char usage[] =
	"Usage: netbr-apply [OPTIONS] VERB [BRIDGE...]\n"
	"  up                     make the kernel match; repeatable\n"
	"  down                   remove what netbr made, give the uplink back\n"
	"  plan                   what up would do; exit 3 if anything\n"
	"  status                 wanted and actual; exit 3 on drift\n"
	"Options:\n"
	"  -c, --config FILE      instead of /etc/vmnet.conf\n"
	"  -r, --root DIR         before every path but that of -c\n"
	"  --json                 plan and status as JSON\n"
	"  --force                down: also foreign ports and running guests\n"
	"  --wait SECONDS         for another run to end (default 10)\n"
	"  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n";

static int say_refusals(const struct plan *p)
{
	for (size_t i = 0; i < p->n_warnings; i++)
		msg_warn("%s", p->warnings[i]);
	for (size_t i = 0; i < p->n_refusals; i++)
		msg_error("%s", p->refusals[i]);
	if (p->n_refusals)
		msg_error("nothing was changed");
	return p->n_refusals ? RC_FAILED : RC_OK;
}

/* It worked, but can't be recorded or verified: then it has not worked. */
static int take_back(struct session *s, struct plan *done,
		     const struct state *old)
{
	bool whole = run_undo(&s->nl, done) == RUN_UNDONE;

	state_save(old, s->cli->root);
	msg_error(whole ? "everything was undone: the old state is in force" :
		  "not everything could be undone: see above");
	return whole ? RC_FAILED : RC_BROKEN;
}

/* The record first: it holds how things were, and must be there even if we
 * are killed in the middle. Then the steps. */
static int execute(struct session *s, struct plan *p, const struct state *old)
{
	int rc = state_save(&s->st, s->cli->root);

	if (rc < 0) {
		msg_error("the record in %s/run/netbr can't be written: %s; "
			  "nothing was changed", s->cli->root, strerror(-rc));
		return RC_FAILED;
	}
	switch (run_plan(&s->nl, p)) {
	case RUN_DONE:
		return session_save(s) < 0 ? take_back(s, p, old) : RC_OK;
	case RUN_UNDONE:
		state_save(old, s->cli->root);
		msg_error("everything was undone: the old state is in force");
		return RC_FAILED;
	case RUN_BROKEN:
		break;
	}
	msg_error("what is left is named above; put it right and run "
		  "'netbr-apply up', or 'netbr-apply down'");
	return RC_BROKEN;
}

/* What the kernel silently clamped or ignored shows up as a plan that is
 * not empty right after it was run. */
static int verify(struct session *s, struct plan *done,
		  const struct state *old)
{
	struct plan left = { 0 };
	int rc = session_dump(s);

	if (rc != RC_OK)
		return take_back(s, done, old);
	plan_up(&s->in, &left);
	for (size_t i = 0; i < left.n; i++)
		if (left.v[i]->attr)
			msg_error("%s %s: wanted %s, but the kernel has %s",
				  left.v[i]->object, left.v[i]->attr,
				  left.v[i]->want, left.v[i]->have);
	if (left.n || left.n_refusals) {
		say_refusals(&left);
		rc = take_back(s, done, old);
	}
	plan_free(&left);
	return rc;
}

static void say_done(const struct plan *p, const char *verb)
{
	if (!p->n)
		msg_info("nothing to do: everything is as it should be");
	else
		msg_info("%s: %zu steps done", verb, p->n);
}

/* Bridges that left the config go first, with a plan of their own. */
static int up_gone(struct session *s)
{
	struct plan p = { 0 };
	struct state old;
	int rc;

	state_copy(&old, &s->st);
	plan_gone(&s->in, &p);
	rc = say_refusals(&p);
	if (rc == RC_OK && p.n) {
		rc = execute(s, &p, &old);
		if (rc == RC_OK)
			rc = session_dump(s);
	}
	plan_free(&p);
	state_free(&old);
	return rc;
}

static int verb_up(struct session *s)
{
	struct plan p = { 0 };
	struct state old;
	int rc = session_all(s) ? up_gone(s) : RC_OK;

	if (rc != RC_OK)
		return rc;
	state_copy(&old, &s->st);
	plan_up(&s->in, &p);
	rc = say_refusals(&p);
	if (rc == RC_OK && p.n)
		rc = execute(s, &p, &old);
	if (rc == RC_OK && p.n)
		rc = verify(s, &p, &old);
	if (rc == RC_OK)
		say_done(&p, "up");
	plan_free(&p);
	state_free(&old);
	return rc;
}

static int verb_down(struct session *s)
{
	struct plan p = { 0 };
	struct state old;
	int rc;

	state_copy(&old, &s->st);
	plan_down(&s->in, &p);
	rc = say_refusals(&p);
	if (rc == RC_OK)
		rc = execute(s, &p, &old);
	if (rc == RC_OK)
		say_done(&p, "down");
	plan_free(&p);
	state_free(&old);
	return rc;
}

static int verb_show(struct session *s, bool status)
{
	struct plan p = { 0 };
	bool refused;
	int rc;

	if (session_all(s))
		plan_gone(&s->in, &p);
	plan_up(&s->in, &p);
	refused = p.n_refusals;
	rc = say_refusals(&p);
	if (status)
		report_status(s, &p, s->cli->json);
	else if (!refused)
		report_plan(&p, s->cli->json);
	if (rc == RC_OK && p.n)
		rc = RC_DIFFERENT;
	plan_free(&p);
	return rc;
}

static bool changes(const char *verb)
{
	return streq(verb, "up") || streq(verb, "down");
}

static int run_verb(const struct cli *c, const struct model *m)
{
	struct session s;
	int lock = -1, rc;

	if (changes(c->verb)) {
		lock = cli_lock(c);
		if (lock < 0)
			return -lock;
	}
	rc = session_open(&s, c, m, streq(c->verb, "down"));
	if (rc == RC_OK) {
		if (streq(c->verb, "up"))
			rc = verb_up(&s);
		else if (streq(c->verb, "down"))
			rc = verb_down(&s);
		else
			rc = verb_show(&s, streq(c->verb, "status"));
	}
	msg_debug("%u changing messages, %u programs started", s.nl.changes,
		  spawn_count);
	session_close(&s);
	if (lock >= 0)
		close(lock);
	return rc;
}

int main(int argc, char **argv)
{
	static const char *const extra[] = { "json", "force", "wait", NULL };
	struct cli c;
	struct model *m;
	int rc;

	diag_program = "netbr-apply";
	cli_parse(&c, argc, argv, usage, extra);
	if (!c.verb || !(changes(c.verb) || streq(c.verb, "plan") ||
			 streq(c.verb, "status"))) {
		msg_error(c.verb ? "unknown verb" : "which verb?");
		fputs(usage, stderr);
		return RC_USAGE;
	}
	if (changes(c.verb) && geteuid() != 0) {
		msg_error("'%s' changes the kernel's network: run it as root",
			  c.verb);
		return RC_FAILED;
	}
	m = cli_load(&c);
	if (!m && streq(c.verb, "down") && c.n_args) {
		/* what was made is known from the kernel and the record */
		msg_warn("going on without the configuration");
		diag_reset();
		m = model_new();
		m->firewall = FW_NONE;
	}
	if (!m)
		return RC_CONFIG;
	rc = run_verb(&c, m);
	model_free(m);
	diag_reset();
	if (fflush(stdout) != 0) {
		msg_error("standard output: write error");
		rc = RC_FAILED;
	}
	return rc;
}
