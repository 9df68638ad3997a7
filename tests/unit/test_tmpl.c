/* The renderer: what it makes, and what it must refuse with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tmpl.h"

static struct view *sample(void)
{
	struct view *v = view_new(), *e;

	view_set(v, "name", "br0");
	view_set(v, "evil", "a;b");
	view_set(v, "empty", NULL);
	view_if(v, "yes", true);
	view_if(v, "no", false);
	for (int i = 0; i < 2; i++) {
		e = view_add(v, "ports");
		view_setf(e, "port", "tap%d", i);
	}
	e = view_add(v, "shadow");
	view_set(e, "name", "inner");
	return v;
}

static void renders(const char *text, const char *want)
{
	_cleanup_buf_ struct buf out = { 0 };
	struct view *v = sample();
	char *error;

	assert_true(tmpl_render("t", text, "-_. ", v, &out, &error));
	assert_string_equal(buf_str(&out), want);
	view_free(v);
}

static void refuses(const char *text, const char *want)
{
	_cleanup_buf_ struct buf out = { 0 };
	_cleanup_free_ char *error = NULL;
	struct view *v = sample();

	assert_false(tmpl_render("t", text, "-_. ", v, &out, &error));
	assert_non_null(strstr(error, want));
	view_free(v);
}

static void test_renders(void **s)
{
	(void)s;
	renders("", "");
	renders("plain { } text\n", "plain { } text\n");
	renders("{{name}}{{ name }}{{empty}}", "br0br0");
	renders("{{! gone }}\nx", "x");
	renders("{{#ports}}\n{{port}} of {{name}}\n{{/ports}}\n",
		"tap0 of br0\ntap1 of br0\n");
	renders("a {{#ports}}{{port}} {{/ports}}b", "a tap0 tap1 b");
	renders("{{#no}}\nx\n{{/no}}\n{{^no}}\ny\n{{/no}}\n", "y\n");
	renders("{{^yes}}x{{/yes}}{{#yes}}y{{/yes}}", "y");
	renders("{{#shadow}}{{name}}{{/shadow}}{{name}}", "innerbr0");
	renders("{{#yes}}{{#ports}}{{port}}{{/ports}}{{/yes}}", "tap0tap1");
	renders("{{#no}}{{#no}}{{/no}}x{{/no}}z", "z");
}

static void test_refuses(void **s)
{
	(void)s;
	refuses("a\n{{nope}}", "t:2: unknown name 'nope'");
	refuses("{{evil}}", "not safe");
	refuses("{{name", "not closed");
	refuses("\n\n{{#yes}}", "t:3: section 'yes' is not closed");
	refuses("{{/yes}}", "was not opened");
	refuses("{{#yes}}{{/no}}", "closed by 'no'");
	refuses("{{#name}}{{/name}}", "unknown section");
	refuses("{{ports}}", "unknown name");
	refuses("{{&name}}", "unknown name");
	refuses("{{{name}}}", "unknown name");
	refuses("{{#yes}}{{nope}}{{/yes}}", "unknown name 'nope'");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_renders),
					    cmocka_unit_test(test_refuses) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
