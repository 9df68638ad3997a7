#include "oldfiles.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES "/run/netbr/files.json"

/* 63 bits: JSON's integers are signed. */
static json_int_t digest(const struct buf *b)
{
	return hash_text(buf_str(b), b->len) >> 1;
}

/* JSON holds characters, files hold bytes: each byte is written as the
 * character of the same number, and read back. */
static json_t *bytes_to_json(const struct buf *b)
{
	_cleanup_buf_ struct buf out = { 0 };

	for (size_t i = 0; i < b->len; i++) {
		unsigned char c = b->s[i];
		char two[2] = { (char)(0xc0 | c >> 6),
				(char)(0x80 | (c & 0x3f)) };

		if (c < 0x80)
			buf_add(&out, &b->s[i], 1);
		else
			buf_add(&out, two, 2);
	}
	return json_stringn(buf_str(&out), out.len);
}

static void bytes_from_json(json_t *j, struct buf *out)
{
	const char *s = json_string_value(j);
	size_t len = json_string_length(j);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = s[i];

		if (c >= 0x80 && i + 1 < len)
			c = (c & 3) << 6 | (s[++i] & 0x3f);
		buf_add(out, &c, 1);
	}
}

/* The list of what is noted; an empty one if there is none, or it can't be
 * read: then there is nothing to go back to. */
static json_t *load(const char *root)
{
	_cleanup_free_ char *path = path_join(root, FILES);
	_cleanup_buf_ struct buf b = { 0 };
	int rc = buf_read_file(&b, path, 256 << 20);
	json_t *j = NULL;

	if (rc == 0)
		j = json_loadb(buf_str(&b), b.len, JSON_ALLOW_NUL, NULL);
	if (rc != -ENOENT && !json_is_array(j))
		msg_warn("%s: not readable; going on without it", path);
	if (json_is_array(j))
		return j;
	json_decref(j);
	return json_array();
}

static int save(json_t *list, const char *root)
{
	_cleanup_free_ char *path = path_join(root, FILES);
	_cleanup_free_ char *text = json_dumps(list, 0);

	return text ? file_replace(path, text) : -ENOMEM;
}

static json_t *find(json_t *list, const char *path)
{
	json_t *o;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *p = json_string_value(json_object_get(o, "path"));

		if (p && streq(p, path))
			return o;
	}
	return NULL;
}

int oldfiles_note(const struct outfiles *o, const char *root)
{
	json_t *list = load(root);
	int rc = 0;
	bool any = false;

	for (size_t i = 0; i < o->n; i++) {
		const struct outfile *f = &o->v[i];
		json_t *e;

		if (!f->change)
			continue;
		any = true;
		e = find(list, f->path);
		if (!e) {
			e = json_pack("{s:s, s:b}", "path", f->path,
				      "existed", f->change != CHANGE_CREATE);
			json_object_set_new(e, "text",
					    bytes_to_json(&f->old));
			json_array_append_new(list, e);
		}
		json_object_set_new(e, "present", json_boolean(
			f->change != CHANGE_REMOVE));
		json_object_set_new(e, "wrote", json_integer(
			f->change == CHANGE_REMOVE ? 0 : digest(&f->new)));
	}
	if (any)
		rc = save(list, root);
	json_decref(list);
	return rc;
}

bool oldfiles_any(const char *root)
{
	_cleanup_free_ char *path = path_join(root, FILES);

	return access(path, F_OK) == 0;
}

void oldfiles_forget(const char *root)
{
	_cleanup_free_ char *path = path_join(root, FILES);

	if (unlink(path) < 0 && errno != ENOENT)
		msg_warn("%s: %s", path, strerror(errno));
}

/* Is the file as netbr-gen left it? */
static bool as_written(json_t *e, struct outfile *f)
{
	int rc = buf_read_file(&f->old, f->path, 256 << 20);

	if (!json_is_true(json_object_get(e, "present")))
		return rc == -ENOENT || rc == -ENOTDIR;
	return rc == 0 && digest(&f->old) == json_integer_value(
		json_object_get(e, "wrote"));
}

/* The change that puts one file back; false if it must not be. */
static bool prepare(json_t *e, struct outfile *f)
{
	json_t *text = json_object_get(e, "text");
	const char *path = json_string_value(json_object_get(e, "path"));
	bool existed = json_is_true(json_object_get(e, "existed"));
	bool present = json_is_true(json_object_get(e, "present"));

	*f = (struct outfile){ 0 };
	if (!path || *path != '/' || (existed && !json_is_string(text)))
		return false;
	f->path = xstrdup(path);
	if (existed)
		bytes_from_json(text, &f->new);
	if (!as_written(e, f)) {
		/* it never came to the change? */
		if (existed ? f->old.len == f->new.len &&
		    memcmp(buf_str(&f->old), buf_str(&f->new), f->new.len) ==
		    0 : access(path, F_OK) < 0)
			return true;
		msg_warn("%s was edited meanwhile: it stays as it is", path);
		return false;
	}
	f->change = !existed ? (present ? CHANGE_REMOVE : CHANGE_NONE) :
		    present ? CHANGE_UPDATE : CHANGE_CREATE;
	return true;
}

unsigned int oldfiles_restore(const char *root)
{
	json_t *list = load(root), *e;
	unsigned int failed = 0;
	size_t i;

	/* one by one: what can go back goes back */
	json_array_foreach(list, i, e) {
		struct outfile f;
		struct outfiles one = { &f, 1 };

		if (!prepare(e, &f) || (f.change &&
		    (outfiles_stage(&one) < 0 || outfiles_commit(&one) < 0)))
			failed++;
		outfile_free(&f);
	}
	json_decref(list);
	oldfiles_forget(root);
	return failed;
}
