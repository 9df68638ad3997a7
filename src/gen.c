/* netbr-gen: vmnet.conf to the files that the rest of the system reads. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "oldfiles.h"
#include "outfile.h"
#include "qemu.h"

static const char usage[] =
	"Usage: netbr-gen [OPTIONS] [VERB]\n"
	"  write                  write every output that changed (default)\n"
	"  check                  read the configuration and judge it\n"
	"  diff                   what write would change; exit 3 if anything\n"
	"  show OUTPUT [BRIDGE]   one output: conf.d, dnsmasq, hosts, ebtables,\n"
	"                         iptables, ip6tables, nftables, sysctl,\n"
	"                         qemu-bridge\n"
	"  print                  the configuration as it was understood\n"
	"  qemu GUEST             QEMU's -netdev and -device for a guest\n"
	"  service BRIDGE         what the service script asks, as variables\n"
	"Options:\n"
	"  -c, --config FILE      instead of /etc/vmnet.conf\n"
	"  -r, --root DIR         before every path but that of -c\n"
	"  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n";

/* Would the system's own dnsmasq read our fragments too? Then it would serve
 * that bridge, and stop serving anything else. */
static void warn_dnsmasq(const struct cli *c, const struct model *m)
{
	_cleanup_free_ char *path = path_join(c->root, "/etc/dnsmasq.conf");
	_cleanup_buf_ struct buf b = { 0 };
	char *save = NULL, *line;
	bool own = false;

	for (size_t i = 0; i < m->n_bridges; i++)
		own |= m->bridges[i]->dhcp.present &&
		       m->bridges[i]->dhcp.server == SERVER_OWN;
	if (!own || buf_read_file(&b, path, 1 << 20) < 0 || !b.len)
		return;
	for (line = strtok_r(b.s, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (str_begins(line, "conf-dir=/etc/dnsmasq.d"))
			msg_warn("%s reads /etc/dnsmasq.d too: take its "
				 "'%s' out, or say server = system", path,
				 line);
}

/* What is replaced is kept until an `up` or a `confirm` accepts it. */
static int note_old(const struct outfiles *o, const char *root)
{
	int rc = oldfiles_note(o, root);

	if (rc == 0)
		return 0;
	msg_error("%s/run/netbr/files.json can't be written: %s; nothing was "
		  "changed", root, strerror(-rc));
	return -1;
}

/* Files are prepared for a machine under root, or for this one. */
static int verb_write(const struct cli *c, const struct model *m, bool diff)
{
	struct outfiles o = { 0 };
	struct facts f;
	int lock = diff ? -1 : cli_lock(c), rc;

	if (!diff && lock < 0)
		return -lock;
	rc = facts_read(&f, m, c->root);
	if (rc == 0)
		rc = outfiles_compute(&o, m, &f, c->root);
	/* the shell reads while files are written beside the real ones */
	if (rc == 0 && !diff)
		rc = outfiles_stage(&o);
	if (rc == 0)
		rc = outfiles_judge(&o);
	if (rc == 0 && !diff)
		rc = note_old(&o, c->root);
	if (rc == 0)
		rc = diff ? outfiles_diff(&o) : outfiles_commit(&o);
	if (!diff)
		warn_dnsmasq(c, m);
	if (!diff && rc == 0)
		msg_info("nothing to do: every output is as it should be");
	outfiles_free(&o);
	facts_free(&f);
	if (lock >= 0)
		close(lock);
	if (rc < 0)
		return RC_FAILED;
	return diff && rc > 0 ? RC_DIFFERENT : RC_OK;
}

static int find_output(const char *name)
{
	_cleanup_buf_ struct buf all = { 0 };

	for (int id = 0; id < OUT_COUNT; id++) {
		if (streq(outputs[id].name, name))
			return id;
		buf_printf(&all, "%s%s", id ? ", " : "", outputs[id].name);
	}
	msg_error("'%s' is no output: use one of %s", name, buf_str(&all));
	return -1;
}

static const struct bridge *show_bridge(const struct cli *c,
					const struct model *m)
{
	const struct bridge *b;

	if (c->n_args < 2 && m->n_bridges == 1)
		return m->bridges[0];
	if (c->n_args < 2) {
		msg_error("there are %zu bridges: name one", m->n_bridges);
		return NULL;
	}
	b = model_bridge(m, c->args[1]);
	if (!b)
		msg_error("there is no bridge '%s'", c->args[1]);
	return b;
}

static int verb_show(const struct cli *c, const struct model *m)
{
	_cleanup_buf_ struct buf out = { 0 };
	const struct bridge *b = NULL;
	struct facts f;
	int id = find_output(c->args[0]), rc = 0;

	if (id < 0 || (outputs[id].per_bridge &&
		       !(b = show_bridge(c, m))))
		return RC_USAGE;
	if (!output_wanted(m, id, b)) {
		msg_info("the configuration has no use for this output");
		return RC_OK;
	}
	rc = facts_read(&f, m, c->root);
	if (rc == 0)
		rc = output_render(m, &f, id, b, c->root, &out);
	facts_free(&f);
	if (rc < 0)
		return RC_FAILED;
	fputs(buf_str(&out), stdout);
	return RC_OK;
}

static int verb_print(const struct model *m)
{
	_cleanup_buf_ struct buf out = { 0 };

	model_print(m, &out);
	fputs(buf_str(&out), stdout);
	return RC_OK;
}

static int verb_qemu(const struct cli *c, const struct model *m)
{
	_cleanup_buf_ struct buf out = { 0 };
	const struct guest *g = model_guest(m, c->args[0]);

	if (!g) {
		msg_error("there is no guest '%s'", c->args[0]);
		return RC_USAGE;
	}
	if (!qemu_arguments(m, g, &out))
		return RC_FAILED;
	fputs(buf_str(&out), stdout);
	return RC_OK;
}

/* For init.d/netbr. The names are safe in double quotes: model checks. */
static int verb_service(const struct cli *c, const struct model *m)
{
	const struct bridge *b = model_bridge(m, c->args[0]);
	bool takes_over;
	struct facts f;

	if (!b) {
		msg_error("there is no bridge '%s'", c->args[0]);
		return RC_USAGE;
	}
	if (facts_read_few(&f, m, c->root) < 0)
		return RC_FAILED;
	takes_over = bridge_takes_over(b);
	printf("netbr_mode=\"%s\"\nnetbr_uplink=\"%s\"\n",
	       mode_names[bridge_mode(b)], takes_over ? b->uplink : "");
	printf("netbr_dhcp=\"%s\"\n", b->address_dhcp && takes_over ?
	       "yes" : "no");
	/* what is loaded speaks of the uplink's MAC address */
	printf("netbr_watch=\"%s\"\n", bridge_mode(b) == MODE_MACNAT ?
	       "yes" : "no");
	facts_free(&f);
	return RC_OK;
}

static int run_verb(const struct cli *c, const struct model *m)
{
	const char *v = c->verb;

	if (streq(v, "write") || streq(v, "diff"))
		return verb_write(c, m, streq(v, "diff"));
	if (streq(v, "show"))
		return verb_show(c, m);
	if (streq(v, "print"))
		return verb_print(m);
	if (streq(v, "qemu"))
		return verb_qemu(c, m);
	if (streq(v, "service"))
		return verb_service(c, m);
	return RC_OK;	/* check */
}

/* Is this a verb, with so many arguments? */
static bool usage_ok(const struct cli *c)
{
	static const struct {
		const char *verb;
		int min, max;
	} verbs[] = {
		{ "write", 0, 0 }, { "check", 0, 0 }, { "diff", 0, 0 },
		{ "show", 1, 2 }, { "print", 0, 0 }, { "qemu", 1, 1 },
		{ "service", 1, 1 },
	};

	for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
		if (streq(c->verb, verbs[i].verb))
			return c->n_args >= verbs[i].min &&
			       c->n_args <= verbs[i].max;
	return false;
}

int main(int argc, char **argv)
{
	static const char *const extra[] = { NULL };
	struct cli c;
	struct model *m;
	int rc;

	diag_program = "netbr-gen";
	cli_parse(&c, argc, argv, usage, extra);
	if (!c.verb)
		c.verb = "write";
	if (!usage_ok(&c)) {
		msg_error("unknown verb, or wrong number of arguments");
		fputs(usage, stderr);
		return RC_USAGE;
	}
	m = cli_load(&c);
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
