#include "outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#define BEGIN_MARK "# BEGIN netbr"
#define END_MARK "# END netbr"
#define MAX_OUTPUT (64u << 20)

/* ---- the managed block ------------------------------------------------ */

static bool line_is(const char *line, size_t len, const char *mark)
{
	if (!len || *line != *mark)
		return false;
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' ||
		       line[len - 1] == '\r'))
		len--;
	return len == strlen(mark) && memcmp(line, mark, len) == 0;
}

static void put_block(struct buf *out, const char *block)
{
	if (!*block)
		return;
	buf_puts(out, BEGIN_MARK "\n");
	buf_puts(out, block);
	buf_puts(out, END_MARK "\n");
}

bool block_replace(const char *text, size_t len, const char *block,
		   struct buf *out, int *line)
{
	const char *p = text, *end = text + len;
	bool inside = false, done = false;
	int begin_line = 0;

	for (*line = 1; p < end; ++*line) {
		const char *nl = memchr(p, '\n', end - p);
		size_t n = (nl ? nl + 1 : end) - p;
		size_t bare = nl ? n - 1 : n;

		if (line_is(p, bare, BEGIN_MARK)) {
			if (inside || done)
				return false;
			inside = true;
			begin_line = *line;
			put_block(out, block);
		} else if (line_is(p, bare, END_MARK)) {
			if (!inside)
				return false;
			inside = false;
			done = true;
		} else if (!inside) {
			buf_add(out, p, n);
		}
		p += n;
	}
	if (inside) {
		*line = begin_line;
		return false;
	}
	if (!done && *block) {
		if (len && text[len - 1] != '\n')
			buf_puts(out, "\n");
		put_block(out, block);
	}
	return true;
}

/* ---- variables set twice ---------------------------------------------- */

/* The name assigned by a line of shell, "" if none; rough but enough to
 * find `config_br0=`, `export config_br0=` and `config_br0+=`. */
static size_t assigned_name(const char *line, size_t len, const char **name)
{
	const char *p = line, *end = line + len, *beg;

	for (;;) {
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		beg = p;
		while (p < end && (*p == '_' || (*p >= '0' && *p <= '9') ||
				   (*p >= 'a' && *p <= 'z') ||
				   (*p >= 'A' && *p <= 'Z')))
			p++;
		if (p < end && p > beg && (*p == ' ' || *p == '\t') &&
		    ((p - beg == 6 && memcmp(beg, "export", 6) == 0) ||
		     (p - beg == 8 && memcmp(beg, "readonly", 8) == 0)))
			continue;
		break;
	}
	*name = beg;
	if (p < end && (*p == '=' || (*p == '+' && p + 1 < end &&
				      p[1] == '=')))
		return p - beg;
	return 0;
}

/* Calls for each assignment outside (or inside) the block. */
static void each_assignment(const char *text, size_t len, bool want_inside,
			    void (*fn)(void *arg, const char *name,
				       size_t n, int line), void *arg)
{
	const char *p = text, *end = text + len;
	bool inside = false;

	for (int line = 1; p < end; line++) {
		const char *nl = memchr(p, '\n', end - p), *name;
		size_t n = (nl ? nl : end) - p, name_len;

		if (line_is(p, n, BEGIN_MARK))
			inside = true;
		else if (line_is(p, n, END_MARK))
			inside = false;
		else if (inside == want_inside &&
			 (name_len = assigned_name(p, n, &name)) > 0)
			fn(arg, name, name_len, line);
		p += n + 1;
	}
}

struct clash {
	struct strmap ours;
	const char *path;
	int found;
};

static void note_ours(void *arg, const char *name, size_t n, int line)
{
	struct clash *c = arg;
	_cleanup_free_ char *key = xstrndup(name, n);

	(void)line;
	strmap_put(&c->ours, key, c);
}

static void count_foreign(void *arg, const char *name, size_t n, int line)
{
	(void)name;
	(void)n;
	(void)line;
	++*(size_t *)arg;
}

static void find_foreign(void *arg, const char *name, size_t n, int line)
{
	struct clash *c = arg;
	_cleanup_free_ char *key = xstrndup(name, n);

	if (!strmap_get(&c->ours, key))
		return;
	msg_error("%s:%d: %s is also set by netbr, from vmnet.conf; remove "
		  "this line", c->path, line, key);
	c->found++;
}

/* A variable of ours that is also set outside our block: whichever comes
 * later would win. */
static bool variables_clash(const struct outfile *f)
{
	struct clash c = { .path = f->path };
	size_t foreign = 0;

	each_assignment(buf_str(&f->old), f->old.len, false, count_foreign,
			&foreign);
	if (!foreign)
		return false;
	each_assignment(buf_str(&f->new), f->new.len, true, note_ours, &c);
	each_assignment(buf_str(&f->old), f->old.len, false, find_foreign,
			&c);
	strmap_free(&c.ours);
	return c.found;
}

static int write_all(int fd, const char *s, size_t len)
{
	while (len) {
		ssize_t n = write(fd, s, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			s += n;
			len -= n;
		}
	}
	return 0;
}

/* A file in memory that ends with its descriptor; -errno if there is none. */
static int memory_file(const char *text, size_t len)
{
	int fd = memfd_create("netbr", MFD_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, len);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = -errno;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* Does the whole candidate parse as shell? A large file takes the shell some
 * milliseconds: it reads while the other outputs are rendered. */
static void shell_begin(struct outfile *f)
{
	static const char *const argv[] = { "sh", "-n", NULL };
	_cleanup_fd_ int in = memory_file(buf_str(&f->new), f->new.len);

	f->judged = true;
	f->says = memory_file("", 0);
	f->judge = in < 0 ? in : f->says < 0 ? f->says :
		   spawn_begin(argv, in, f->says, &f->shell);
}

static bool shell_end(struct outfile *f)
{
	char says[200];
	ssize_t n;

	if (!f->judged)
		return true;
	f->judged = false;
	if (f->shell)
		f->judge = spawn_wait(f->shell);
	n = f->judge > 0 ? pread(f->says, says, sizeof(says) - 1, 0) : 0;
	if (f->says >= 0)
		close(f->says);
	if (f->judge == 0)
		return true;
	says[n > 0 ? n : 0] = '\0';
	msg_error("%s would not be a valid shell file ('sh -n' says: %.*s); "
		  "nothing was written", f->path, (int)strcspn(says, "\n"),
		  f->judge < 0 ? strerror(-f->judge) : says);
	return false;
}

/* ---- computing -------------------------------------------------------- */

static struct outfile *add_file(struct outfiles *o, char *path)
{
	ARRAY_GROW(o->v, o->n);
	o->v[o->n] = (struct outfile){ .path = path };
	return &o->v[o->n++];
}

/* Reads what is there now; a missing file is empty. */
static int read_old(struct outfile *f, bool *exists)
{
	struct stat st;
	int rc;

	*exists = true;
	if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		msg_error("%s: is not a regular file", f->path);
		return -1;
	}
	rc = buf_read_file(&f->old, f->path, MAX_OUTPUT);
	if (rc == -ENOENT || rc == -ENOTDIR) {
		*exists = false;
		return 0;
	}
	if (rc < 0)
		msg_error("%s: can't be read: %s", f->path, strerror(-rc));
	return rc < 0 ? -1 : 0;
}

static int merge_block(struct outfile *f, const char *block)
{
	int line;

	if (!block_replace(buf_str(&f->old), f->old.len, block, &f->new,
			   &line)) {
		msg_error("%s:%d: the markers '%s' and '%s' do not pair up; "
			  "restore or remove them", f->path, line, BEGIN_MARK,
			  END_MARK);
		return -1;
	}
	return 0;
}

static void set_change(struct outfile *f, bool exists)
{
	bool same = f->old.len == f->new.len &&
		    memcmp(buf_str(&f->old), buf_str(&f->new),
			   f->old.len) == 0;

	f->change = !exists ? CHANGE_CREATE : same ? CHANGE_NONE :
		    CHANGE_UPDATE;
}

static int compute_one(struct outfiles *o, const struct model *m,
		       const struct facts *facts, enum output_id id,
		       const struct bridge *b, const char *root)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *below = output_path(id, b);
	struct outfile *f = add_file(o, path_join(root, below));
	bool exists;

	f->is_confd = id == OUT_CONFD;
	if (output_render(m, facts, id, b, root, &text) < 0 ||
	    read_old(f, &exists) < 0)
		return -1;
	if (!outputs[id].block) {
		if (exists && f->old.len &&
		    !str_begins(buf_str(&f->old), NETBR_HEADER)) {
			msg_error("%s: was not made by netbr-gen; move it "
				  "away", f->path);
			return -1;
		}
		f->new = text;
		text = (struct buf){ 0 };
	} else if (merge_block(f, buf_str(&text)) < 0) {
		return -1;
	}
	set_change(f, exists);
	if (f->is_confd && variables_clash(f))
		return -1;
	if (f->is_confd && f->change)
		shell_begin(f);
	return 0;
}

static bool in_outfiles(const struct outfiles *o, const char *path)
{
	for (size_t i = 0; i < o->n; i++)
		if (streq(o->v[i].path, path))
			return true;
	return false;
}

/* 1 yes, 0 no, -errno when that can't be told. */
static int has_our_header(const char *path)
{
	char head[sizeof(NETBR_HEADER) - 1];
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
				   O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	n = read(fd, head, sizeof(head));
	if (n < 0)
		return errno == EISDIR || errno == EAGAIN ? 0 : -errno;
	return n == (ssize_t)sizeof(head) &&
	       memcmp(head, NETBR_HEADER, sizeof(head)) == 0;
}

static bool stale_name(const char *name, const char *prefix,
		       const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return name[0] != '.' && len > n && str_begins(name, prefix) &&
	       streq(name + len - n, suffix);
}

static int add_stale(struct outfiles *o, char *path)
{
	int ours = has_our_header(path);
	struct outfile *f;
	bool exists;

	if (ours < 0)
		msg_error("%s: can't be read: %s", path, strerror(-ours));
	if (ours <= 0) {
		free(path);
		return ours;
	}
	f = add_file(o, path);
	f->change = CHANGE_REMOVE;
	return read_old(f, &exists);
}

/* Files of bridges that are gone: in our places, with our header. */
static int compute_stale(struct outfiles *o, const char *root)
{
	static const struct {
		const char *dir, *prefix, *suffix;
	} places[] = {
		{ "/etc/dnsmasq.d", "netbr-", ".conf" },
		{ "/var/lib/netbr", "", ".hosts" },
		{ "/etc/netbr", "", ".ebtables" },
		{ "/etc/netbr", "", ".iptables" },
		{ "/etc/netbr", "", ".ip6tables" },
		{ "/etc/netbr", "", ".nft" },
		{ "/etc/sysctl.d", "90-netbr", ".conf" },
	};
	int rc = 0;

	for (size_t i = 0; i < N_ELEMENTS(places); i++) {
		_cleanup_free_ char *dir = path_join(root, places[i].dir);
		struct dirent **e = NULL;
		int n = scandir(dir, &e, NULL, alphasort);

		if (n < 0 && errno != ENOENT && errno != ENOTDIR) {
			msg_error("%s: can't be read: %s", dir,
				  strerror(errno));
			rc = -1;
		}
		for (int k = 0; k < n; k++) {
			char *path = xasprintf("%s/%s", dir, e[k]->d_name);

			if (!stale_name(e[k]->d_name, places[i].prefix,
					places[i].suffix) ||
			    in_outfiles(o, path))
				free(path);
			else if (add_stale(o, path) < 0)
				rc = -1;
			free(e[k]);
		}
		free(e);
	}
	return rc;
}

int outfiles_compute(struct outfiles *o, const struct model *m,
		     const struct facts *f, const char *root)
{
	int rc = 0;

	for (enum output_id id = 0; id < OUT_COUNT; id++) {
		if (!outputs[id].per_bridge) {
			if (output_wanted(m, id, NULL) &&
			    compute_one(o, m, f, id, NULL, root) < 0)
				rc = -1;
			continue;
		}
		for (size_t i = 0; i < m->n_bridges; i++)
			if (output_wanted(m, id, m->bridges[i]) &&
			    compute_one(o, m, f, id, m->bridges[i],
					root) < 0)
				rc = -1;
	}
	if (rc == 0)
		rc = compute_stale(o, root);
	return rc;
}

int outfiles_judge(struct outfiles *o)
{
	int rc = 0;

	for (size_t i = 0; i < o->n; i++)
		if (!shell_end(&o->v[i]))
			rc = -1;
	return rc;
}

/* ---- writing ---------------------------------------------------------- */

static int sync_path(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_dir(const char *path, size_t len)
{
	_cleanup_free_ char *dir = xstrndup(path, len);

	return sync_path(*dir ? dir : "/");
}

/* mkdir -p of the directory a file is in. */
static int make_parents(const char *path)
{
	_cleanup_free_ char *p = xstrdup(path);

	for (char *s = strchr(p + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return 0;
}

/* Follows a symlink to the real file, but none that another user planted. */
static int resolve(struct outfile *f)
{
	struct stat st;

	if (lstat(f->path, &st) < 0 || !S_ISLNK(st.st_mode)) {
		f->real = xstrdup(f->path);
		return 0;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return -EPERM;
	f->real = realpath(f->path, NULL);
	return f->real ? 0 : -errno;
}

/* Owner and mode: those of the file that is replaced. */
static int set_rights(int fd, const char *real)
{
	struct stat st;

	if (stat(real, &st) < 0)
		return fchmod(fd, 0644) < 0 ? -errno : 0;
	if (fchown(fd, st.st_uid, st.st_gid) < 0 && errno != EPERM)
		return -errno;
	return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

/* Puts the new content beside the real file, complete. */
static int stage(struct outfile *f)
{
	_cleanup_fd_ int fd = -1;
	char *slash;
	int rc;

	rc = make_parents(f->path);
	if (rc == 0)
		rc = resolve(f);
	if (rc < 0)
		return rc;
	slash = strrchr(f->real, '/');
	f->staged = xasprintf("%.*s/.%s.netbr-new", (int)(slash - f->real),
			      f->real, slash + 1);
	/* of an earlier run that was killed; we hold the lock */
	if (unlink(f->staged) < 0 && errno != ENOENT)
		return -errno;
	fd = open(f->staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
		  O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = set_rights(fd, f->real);
	if (rc == 0)
		rc = write_all(fd, buf_str(&f->new), f->new.len);
	return rc;
}

/* The file is still the one we read: nobody edited it meanwhile. */
static bool unchanged(const struct outfile *f)
{
	_cleanup_buf_ struct buf now = { 0 };
	int rc = buf_read_file(&now, f->path, MAX_OUTPUT);

	if (f->change == CHANGE_CREATE)
		return rc == -ENOENT || rc == -ENOTDIR;
	return rc == 0 && now.len == f->old.len &&
	       memcmp(buf_str(&now), buf_str(&f->old), now.len) == 0;
}

/* To the disk before it gets its name: a power cut leaves the old file or
 * the new one. */
static int commit(struct outfile *f)
{
	int rc = 0;

	if (f->change == CHANGE_REMOVE)
		rc = unlink(f->path) < 0 ? -errno : 0;
	else if (!unchanged(f))
		rc = -ESTALE;
	else if (rename(f->staged, f->real) < 0)
		rc = -errno;
	if (rc == 0 && f->staged) {
		free(f->staged);
		f->staged = NULL;
	}
	return rc;
}

static const char *const change_words[] = {
	[CHANGE_NONE] = "unchanged", [CHANGE_CREATE] = "wrote",
	[CHANGE_UPDATE] = "changed", [CHANGE_REMOVE] = "removed",
};

/* All files are written before the first is synced: the journal of a file
 * system takes them together. */
int outfiles_stage(struct outfiles *o)
{
	for (size_t i = 0; i < 2 * o->n; i++) {
		struct outfile *f = &o->v[i % o->n];
		int rc;

		if (f->change != CHANGE_CREATE && f->change != CHANGE_UPDATE)
			continue;
		rc = i < o->n ? stage(f) : sync_path(f->staged);
		if (rc < 0) {
			msg_error("%s: can't be written: %s; nothing was "
				  "changed", f->path, strerror(-rc));
			return -1;
		}
	}
	return 0;
}

/* The directories of all changes, each once. */
static int sync_dirs(const struct outfiles *o, const struct outfile **failed)
{
	const char *last = NULL;
	size_t last_len = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct outfile *f = *failed = &o->v[i];
		const char *path = f->real ? f->real : f->path;
		size_t len = strrchr(path, '/') - path;
		int rc;

		if (!f->change || (last && len == last_len &&
				   memcmp(path, last, len) == 0))
			continue;
		rc = sync_dir(path, len);
		if (rc < 0)
			return rc;
		last = path;
		last_len = len;
	}
	return 0;
}

int outfiles_commit(struct outfiles *o)
{
	const struct outfile *failed;
	int changes = 0, rc;

	for (size_t i = 0; i < o->n; i++) {
		struct outfile *f = &o->v[i];

		rc = f->change ? commit(f) : 0;
		if (rc < 0) {
			msg_error("%s: can't be %s: %s", f->path,
				  f->change == CHANGE_REMOVE ? "removed" :
				  "replaced", rc == -ESTALE ? "it was changed "
				  "meanwhile; run again" : strerror(-rc));
			return -1;
		}
		if (f->change) {
			msg_info("%s %s", change_words[f->change], f->path);
			changes++;
		}
	}
	rc = sync_dirs(o, &failed);
	if (rc < 0) {
		msg_error("%s: its directory can't be synced: %s",
			  failed->path, strerror(-rc));
		return -1;
	}
	return changes;
}

int outfiles_diff(const struct outfiles *o)
{
	int changes = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct outfile *f = &o->v[i];
		_cleanup_free_ char *old = xasprintf("a%s", f->path);
		_cleanup_free_ char *new = xasprintf("b%s", f->path);
		const char *argv[] = { "diff", "-u", "-L", old, "-L", new,
				       f->change == CHANGE_CREATE ?
				       "/dev/null" : f->path, "-", NULL };
		_cleanup_buf_ struct buf out = { 0 }, err = { 0 };
		int rc;

		if (!f->change)
			continue;
		changes++;
		rc = spawn_run(argv, buf_str(&f->new), f->change ==
			       CHANGE_REMOVE ? 0 : f->new.len, &out, &err,
			       30);
		if (rc != 0 && rc != 1) {
			msg_error("diff: %s", rc < 0 ? strerror(-rc) :
				  buf_str(&err));
			return -1;
		}
		fputs(buf_str(&out), stdout);
	}
	return changes;
}

void outfile_free(struct outfile *f)
{
	if (f->staged)
		unlink(f->staged);
	free(f->staged);
	free(f->path);
	free(f->real);
	buf_free(&f->old);
	buf_free(&f->new);
}

void outfiles_free(struct outfiles *o)
{
	outfiles_judge(o);
	for (size_t i = 0; i < o->n; i++)
		outfile_free(&o->v[i]);
	free(o->v);
	*o = (struct outfiles){ 0 };
}
