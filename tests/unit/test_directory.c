/* The small look-ups of the directory, and the built-in models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

#include "postern/directory.h"

static void
test_models_ordered(void **state)
{
	const struct pn_models *m = &pn_models_odoo19;

	(void)state;
	for (size_t i = 1; i < m->n; i++)
		if (pn_str_cmp(m->v[i - 1].name, m->v[i].name) >= 0)
			fail_msg("%s is out of order", m->v[i].name.p);
	for (size_t i = 0; i < m->n; i++) {
		assert_ptr_equal(pn_model_find(m, m->v[i].name), &m->v[i]);
		assert_true(m->v[i].label.n > 0);
		/* the mixin counts on a field */
		assert_true(!m->v[i].blacklist || m->v[i].primary_email.n > 0);
	}
	assert_null(pn_model_find(m, PN_STR("")));
	assert_null(pn_model_find(m, PN_STR("crm.lea")));
	assert_null(pn_model_find(m, PN_STR("crm.lead2")));
	assert_null(pn_model_find(m, PN_STR("zzz")));
	assert_null(pn_model_find(&(struct pn_models){ NULL, 0 }, PN_STR("crm.lead")));
}

static void
compare_model(const char *name, json_t *expected)
{
	const struct pn_model *m = pn_model_find(&pn_models_odoo19, pn_str_c(name));
	const char *email = json_string_value(json_object_get(expected, "primary_email"));

	assert_non_null(m);
	assert_true(pn_str_eq(m->label, pn_str_c(json_string_value(json_object_get(expected, "name")))));
	assert_true(pn_str_eq(m->primary_email, pn_str_c(email)));
	assert_int_equal(m->exists, json_is_true(json_object_get(expected, "exists")));
	assert_int_equal(m->is_mail_thread, json_is_true(json_object_get(expected, "is_mail_thread")));
	assert_int_equal(m->message_new, json_is_true(json_object_get(expected, "message_new")));
	assert_int_equal(m->message_update, json_is_true(json_object_get(expected, "message_update")));
	assert_int_equal(m->blacklist, json_is_true(json_object_get(expected, "blacklist")));
	assert_int_equal(m->has_company, json_is_string(json_object_get(expected, "company_field")));
}

/* What a real Odoo 19 said of its models. */
static void
test_models_as_in_odoo(void **state)
{
	json_t *models = json_load_file("tests/conformance/models.json", 0, NULL);

	(void)state;
	assert_non_null(models);
	compare_model("crm.lead", json_object_get(models, "crm.lead"));
	compare_model("res.partner", json_object_get(models, "res.partner"));
	json_decref(models);
}

static void
test_no_test_models(void **state)
{
	(void)state;
	for (size_t i = 0; i < pn_models_odoo19.n; i++)
		assert_false(pn_str_starts(pn_models_odoo19.v[i].name, PN_STR("mail.test.")));
}

#define S(text) { text, sizeof(text) - 1 }
static const struct pn_domain domains[] = {
	{ .name = S("a.example"), .ascii = S("a.example"), .bounce = S("bounce@a.example"),
	    .catchall = S("catchall@a.example"), .default_from = S("notifications@a.example") },
	{ .name = S("b.example"), .ascii = S("b.example"), .bounce = S("bounce@b.example"),
	    .catchall = S("all@b.example") },
	{ .name = S("b\xc3\xbcro.example"), .ascii = S("xn--bro-hoa.example"), .bounce = S("x@b\xc3\xbcro.example"),
	    .catchall = S("y@b\xc3\xbcro.example"), .default_from = S("z@other.example") },
};
static const struct pn_gateway gateways[] = {
	{ .name = S("main"), .domains = domains, .domain_count = 2 },
	{ .name = S("second"), .domains = domains + 2, .domain_count = 1 },
};
static const struct pn_directory directory = { .gateways = gateways, .gateway_count = 2, .domains = domains,
	.domain_count = 3 };

static void
test_domain(void **state)
{
	static const struct {
		const char *ascii;
		int index;
	} rows[] = { { "a.example", 0 }, { "b.example", 1 }, { "xn--bro-hoa.example", 2 }, { "", -1 }, { "a", -1 },
		{ "a.examplf", -1 }, { "A.example", -1 }, { "b\xc3\xbcro.example", -1 }, { "z", -1 } };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		assert_ptr_equal(pn_directory_domain(&directory, pn_str_c(rows[i].ascii)),
		    rows[i].index < 0 ? NULL : &domains[rows[i].index]);
}

static void
test_gateway(void **state)
{
	(void)state;
	assert_ptr_equal(pn_directory_gateway(&directory, PN_STR("second")), &gateways[1]);
	assert_null(pn_directory_gateway(&directory, PN_STR("Main")));
	assert_null(pn_directory_gateway(&directory, PN_STR("")));
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *address;
		int gateway, bounce, catchall, from;	/* index of the domain; -1: none */
	} rows[] = {
		{ "bounce@a.example", 0, 0, -1, -1 },
		{ "bounce@b.example", 0, 1, -1, -1 },
		{ "bounce@b.example", 1, -1, -1, -1 },
		{ "Bounce@a.example", 0, -1, -1, -1 },
		{ "bounce+x@a.example", 0, -1, -1, -1 },
		{ "catchall@a.example", 0, -1, 0, -1 },
		{ "all@b.example", 0, -1, 1, -1 },
		{ "notifications@a.example", 0, -1, -1, 0 },
		{ "z@other.example", 1, -1, -1, 2 },
		{ "", 0, -1, -1, -1 },	/* b.example has no default_from: "" is not one */
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		const struct pn_gateway *g = &gateways[rows[i].gateway];
		struct pn_str a = pn_str_c(rows[i].address);

		assert_ptr_equal(pn_gateway_bounce(g, a), rows[i].bounce < 0 ? NULL : &domains[rows[i].bounce]);
		assert_ptr_equal(pn_gateway_catchall(g, a), rows[i].catchall < 0 ? NULL : &domains[rows[i].catchall]);
		assert_ptr_equal(pn_gateway_default_from(g, a), rows[i].from < 0 ? NULL : &domains[rows[i].from]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models_ordered),
		cmocka_unit_test(test_models_as_in_odoo),
		cmocka_unit_test(test_no_test_models),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
