/* netbr-apply: makes the live kernel match vmnet.conf. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "report.h"
#include "spawn.h"
#include "verbs.h"
#include "watch.h"

static const char usage[] =
	"Usage: netbr-apply [OPTIONS] VERB [BRIDGE...]\n"
	"  up                     make the kernel match; repeatable\n"
	"  down                   remove what netbr made, give the uplink back\n"
	"  plan                   what up would do; exit 3 if anything\n"
	"  status                 wanted and actual; exit 3 on drift\n"
	"  leases                 reserved, active and conflicting leases\n"
	"  doctor                 what breaks guests' networks on this host\n"
	"  try                    up, and back again unless it is confirmed\n"
	"  watch                  run up when an uplink changes; does not end\n"
	"  confirm                keep what a try did\n"
	"  revert                 go back now\n"
	"Options:\n"
	"  -c, --config FILE      instead of /etc/vmnet.conf\n"
	"  -r, --root DIR         before every path but that of -c\n"
	"  --json                 plan, status, leases, doctor as JSON\n"
	"  --force                down: also foreign ports and running guests\n"
	"  --wait SECONDS         for another run to end (default 10)\n"
	"  --timeout SECONDS      try: for the confirmation (default 60)\n"
	"  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n";

static const struct verb {
	const char *name;
	bool changes;		/* needs root and the lock */
	bool bare;		/* needs neither config nor kernel */
	bool watches;		/* root, config; a session for each event */
} verbs[] = {
	{ "up", true, false }, { "down", true, false },
	{ "try", true, false }, { "plan", false, false },
	{ "status", false, false }, { "leases", false, false },
	{ "doctor", false, false }, { "confirm", false, true },
	{ "revert", false, true }, { "watch", false, false, true },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < N_ELEMENTS(verbs); i++)
		if (streq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int dispatch(struct session *s, const char *verb)
{
	if (streq(verb, "up"))
		return verb_up(s);
	if (streq(verb, "down"))
		return verb_down(s);
	if (streq(verb, "try"))
		return verb_try(s);
	if (streq(verb, "leases"))
		return report_leases(s, s->cli->json) ? RC_DIFFERENT : RC_OK;
	if (streq(verb, "doctor"))
		return verb_doctor(s);
	return verb_show(s, streq(verb, "status"));
}

static int run_verb(const struct cli *c, const struct verb *v,
		    const struct model *m, struct dump *d)
{
	struct session s;
	int rc = session_open(&s, c, m, d, streq(v->name, "down"));

	if (rc == RC_OK)
		rc = dispatch(&s, v->name);
	msg_debug("%u changing messages, %u programs started", s.nl.changes,
		  spawn_count);
	session_close(&s);
	return rc;
}

static struct model *load(const struct cli *c, const struct verb *v)
{
	struct model *m = cli_load(c);

	if (!m && streq(v->name, "down") && c->n_args) {
		/* what was made is known from the kernel and the record */
		msg_warn("going on without the configuration");
		diag_reset();
		m = model_new();
		m->firewall = FW_NONE;
	}
	return m;
}

/* Nobody may change what was dumped: first the lock, if there is one yet and
 * nobody holds it, then the dump, and meanwhile the configuration. */
static int with_config(const struct cli *c, const struct verb *v)
{
	int lock = v->changes ? cli_lock_early(c) : -1, rc = RC_OK;
	struct dump d = { .running = false };
	bool begun = !v->watches && (!v->changes || lock >= 0);
	struct model *m;

	if (begun)
		rc = dump_begin(&d);
	m = rc == RC_OK ? load(c, v) : NULL;
	if (rc == RC_OK && !m)
		rc = RC_CONFIG;
	if (rc == RC_OK && v->changes && lock < 0) {
		lock = cli_lock(c);
		rc = lock < 0 ? -lock : RC_OK;
	}
	if (rc == RC_OK && !v->watches && !begun)
		rc = dump_begin(&d);
	if (rc == RC_OK)
		rc = v->watches ? verb_watch(c, m) : run_verb(c, v, m, &d);
	dump_end(&d);
	model_free(m);
	if (lock >= 0)
		close(lock);
	return rc;
}

static int without_config(const struct cli *c, const struct verb *v)
{
	return streq(v->name, "confirm") ? verb_confirm(c) : verb_revert(c);
}

int main(int argc, char **argv)
{
	static const char *const extra[] = { "json", "force", "wait",
					     "timeout", NULL };
	const struct verb *v;
	struct cli c;
	int rc;

	diag_program = "netbr-apply";
	cli_parse(&c, argc, argv, usage, extra);
	v = find_verb(c.verb);
	if (!v || (v->bare && c.n_args)) {
		msg_error(!c.verb ? "which verb?" : v ? "'%s' names no bridge" :
			  "unknown verb '%s'", c.verb);
		fputs(usage, stderr);
		return RC_USAGE;
	}
	if ((v->changes || v->bare || v->watches) && geteuid() != 0) {
		msg_error("'%s' changes the kernel's network: run it as root",
			  c.verb);
		return RC_FAILED;
	}
	rc = v->bare ? without_config(&c, v) : with_config(&c, v);
	diag_reset();
	if (fflush(stdout) != 0) {
		msg_error("standard output: write error");
		rc = RC_FAILED;
	}
	return rc;
}
