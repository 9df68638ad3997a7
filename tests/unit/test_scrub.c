/* The gatekeeper: lines kept, comments gone, items found where they stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "scrub.h"

static void scrub(const char *text, struct scrubbed *s)
{
	diag_reset();
	scrub_text("t", text, strlen(text), s);
	assert_int_equal(s->len, strlen(text));
}

static void test_comments(void **state)
{
	static const char text[] = "a = 1 # x\n/* y\n z */ b = 'c # d'\n// e\n";
	struct scrubbed s;

	(void)state;
	scrub(text, &s);
	assert_int_equal(diag_errors(), 0);
	assert_null(strstr(s.text, "x"));
	assert_non_null(strstr(s.text, "'c # d'"));
	for (size_t i = 0; i < s.len; i++)	/* lines stay lines */
		assert_int_equal(s.text[i] == '\n', text[i] == '\n');
	assert_int_equal(s.n_items, 2);
	assert_int_equal(s.items[1].src.line, 3);
	assert_string_equal(s.items[1].key, "b");
	scrub_free(&s);
}

static void test_sections(void **state)
{
	struct scrubbed s;

	(void)state;
	scrub("bridge br0 {\n ports = { a,\n b }\n dhcp {\n  range = x\n }\n}\n"
	      "guest g { ip += y }", &s);
	assert_int_equal(diag_errors(), 0);
	assert_int_equal(s.n_items, 6);
	assert_string_equal(s.items[0].name, "br0");
	assert_string_equal(s.items[3].section, "bridge/dhcp");
	assert_string_equal(s.items[3].title, "br0");
	assert_int_equal(s.items[3].src.line, 5);
	assert_true(s.items[5].append);
	scrub_blank(&s, &s.items[0]);
	assert_null(strstr(s.text, "range"));
	assert_non_null(strstr(s.text, "guest"));
	scrub_free(&s);
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"a = \"x\n", "a = 'x", "/* x", "a = $b", "a = \"${B}\"",
		"a = b*", "a = \"\\n\"", "a = (b)", "x {", "}", "a = \x01",
		"a = \xff",
	};
	struct scrubbed s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		scrub(bad[i], &s);
		assert_int_not_equal(diag_errors(), 0);
		scrub_free(&s);
	}
	diag_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
