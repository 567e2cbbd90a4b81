/* SPDX-License-Identifier: MIT */
/* modules/product: the rules of a product, and its two formats. */
#include "../../src/modules/product/product_message.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define ID "0f8fad5b-d9cb-469f-a165-70867728950e"

static struct product product;
static struct product_mistake mistake;

/* What is wrong with a value of a message; "": nothing. */
static const char *read_as(const void *value, size_t len, const char *key, const char *type,
                           enum product_shape shape)
{
	struct cqrs_header header = {"content-type", type, type ? strlen(type) : 0};
	struct cqrs_message msg = {.value = value,
	                           .value_len = len,
	                           .key = key,
	                           .key_len = key ? strlen(key) : 0,
	                           .headers = &header,
	                           .n_headers = type != NULL};
	return product_read_message(&product, &msg, shape, &mistake) ? "" : mistake.text;
}

static const char *read_json(const char *json)
{
	product_clear(&product);
	return product_read_json(&product, json, strlen(json), true, &mistake) ? "" : mistake.text;
}

/* What a price of JSON is kept as, or why it is none. */
static const char *price(const char *number)
{
	char json[400];
	snprintf(json, sizeof json, "{\"price\": %s }", number);
	const char *wrong = read_json(json);
	return *wrong ? wrong : product.price;
}

static const char *price_real(double number)
{
	product_clear(&product);
	return product_set_price_real(&product, number, &mistake) ? product.price : mistake.text;
}

/* A name or description of so many characters of two bytes. */
static const char *read_text(const char *member, size_t characters)
{
	static char json[30000];
	char *end = json + sprintf(json, "{\"%s\": \"", member);
	for (size_t i = 0; i < characters; i++)
		end = stpcpy(end, "ä");
	strcpy(end, "\"}");
	return read_json(json);
}

START_TEST(keeps_the_text_of_a_price)
{
	static const char *const prices[][2] = {
	    {"12.99", "12.99"},
	    {"0", "0"},
	    {"-0.00", "0"},
	    {"0.01", "0.01"},
	    {"0.10", "0.1"},
	    {"100", "100"},
	    {"12.000", "12"},
	    {"1e2", "100"},
	    {"1.5E+1", "15"},
	    {"1299e-2", "12.99"},
	    {"1e-2", "0.01"},
	    {"0e999999999999999999", "0"},
	    {"100000000000000000e-5", "1000000000000"},
	    {"999999999999999.99", "999999999999999.99"},
	    {"12.99000000000000000000000000000000000000000000", "12.99"},
	};
	for (size_t i = 0; i < sizeof prices / sizeof *prices; i++)
		ck_assert_str_eq(price(prices[i][0]), prices[i][1]);
}
END_TEST

START_TEST(refuses_a_price_that_is_none)
{
	static const char places[] = "price must have at most two decimal places";
	static const char large[] = "price must be less than 10^15";
	ck_assert_str_eq(price("12.999"), places);
	ck_assert_str_eq(price("1e-3"), places);
	ck_assert_str_eq(price("12.9900000000000000000000000000000000000000000001"), places);
	ck_assert_str_eq(price("1e-300"), places);
	ck_assert_str_eq(price("1000000000000000"), large);
	ck_assert_str_eq(price("1e300"), large);
	ck_assert_str_eq(price("-0.01"), "price must not be negative");
	ck_assert_str_eq(price("\"12.99\""), "price must be a number");
	ck_assert_str_eq(price("null"), "price must be a number");
	ck_assert_str_eq(mistake.member, "price");
}
END_TEST

START_TEST(takes_a_double_for_the_decimal_that_reads_back_as_it)
{
	ck_assert_str_eq(price_real(99.5), "99.5");
	ck_assert_str_eq(price_real(12.99), "12.99");
	ck_assert_str_eq(price_real(0.1), "0.1");
	ck_assert_str_eq(price_real(-0.0), "0");
	ck_assert_str_eq(price_real(123456789012.34), "123456789012.34");
	ck_assert_str_eq(price_real(0.1 + 0.2), "price must have at most two decimal places");
	ck_assert_str_eq(price_real(-1), "price must not be negative");
	ck_assert_str_eq(price_real(1e15), "price must be less than 10^15");
	ck_assert_str_eq(price_real(0.0 / 0.0), "price must be a number");
}
END_TEST

START_TEST(counts_characters_not_bytes)
{
	ck_assert_str_eq(read_text("name", 250), "");
	ck_assert_uint_eq(strlen(product.name), 500);
	ck_assert_str_eq(read_text("name", 251), "name has 251 characters, at most 250 fit");
	ck_assert_str_eq(read_text("name", 0), "name must not be empty");
	ck_assert_str_eq(read_text("description", 5000), "");
	ck_assert_str_eq(read_text("description", 5001),
	                 "description has 5001 characters, at most 5000 fit");
}
END_TEST

START_TEST(says_which_member_is_wrong)
{
	ck_assert_str_eq(read_json("{\"name\": 7}"), "name must be a string");
	ck_assert_str_eq(mistake.member, "name");
	ck_assert_str_eq(read_json("{\"productId\": \"7\"}"),
	                 "productId must be a UUID of 36 characters");
	ck_assert_str_eq(read_json("{\"prize\": 7}"), "there is no member \"prize\" in a product");
	ck_assert_str_eq(read_json("{\"name\": \"a\", \"name\": \"b\"}"), "name is there twice");
	ck_assert_str_eq(read_json("[]"), "not JSON: an object was expected at byte 1");
	ck_assert_str_eq(read_json("{\"name\": \"a\"} 7"),
	                 "not JSON: something follows the document at byte 14");
	ck_assert_ptr_null(mistake.member);
	ck_assert_str_eq(read_json("{}"), "");
	ck_assert(!product_is_any(&product, &mistake));
	ck_assert_str_eq(read_json("{\"name\": \"a\", \"price\": 0}"), "");
	ck_assert(product_is_any(&product, &mistake));
	ck_assert(!product_is_whole(&product, &mistake));
	ck_assert_str_eq(mistake.text, "description is missing");
}
END_TEST

START_TEST(reads_what_it_writes_as_json)
{
	static const char json[] = "{\"productId\":\"" ID "\",\"name\":\"\\\"Ä\\\\\\u000a\\\"\","
	                           "\"description\":\"d\",\"price\":12.99}";
	ck_assert_str_eq(read_json(json), "");
	ck_assert_str_eq(product.name, "\"Ä\\\n\"");
	char *text = product_write_json(&product);
	ck_assert_str_eq(text, json);
	free(text);
	product_clear(&product);
	strcpy(product.price, "1");
	text = product_write_json(&product);
	ck_assert_str_eq(text, "{\"price\":1}");
	free(text);
}
END_TEST

START_TEST(reads_an_event)
{
	const char *json = "{\"productId\":\"" ID "\",\"createdAt\":\"2021-08-29T10:25:49.5Z\","
	                   "\"updatedAt\":\"2021-08-29T10:25:50Z\",\"version\":7}";
	ck_assert_str_eq(read_as(json, strlen(json), NULL, NULL, PRODUCT_EVENT), "");
	ck_assert_int_eq(product.created_us, INT64_C(1630232749500000));
	ck_assert_int_eq(product.updated_us, INT64_C(1630232750000000));
	ck_assert_int_eq(product.version, 7);
	json = "{\"version\": 0}";
	ck_assert_str_eq(read_as(json, strlen(json), ID, NULL, PRODUCT_EVENT),
	                 "version must be a whole number from 1");
}
END_TEST

START_TEST(takes_the_key_for_the_id_that_the_value_lacks)
{
	ck_assert_str_eq(read_as(NULL, 0, "0F8FAD5B-D9CB-469F-A165-70867728950E", NULL, 0), "");
	ck_assert_str_eq(product.id, ID);
	ck_assert_str_eq(read_as("{}", 2, ID, NULL, 0), "");
	ck_assert_str_eq(product.id, ID);
	ck_assert_str_eq(read_as("{}", 2, NULL, NULL, 0), "productId is missing");
	ck_assert_str_eq(read_as("{}", 2, "7", NULL, 0),
	                 "productId must be a UUID of 36 characters");
}
END_TEST

/* ---- the original's messages ---- */

#define ID_HEX "0a2430663866616435622d643963622d343639662d613136352d373038363737323839353065"
#define CREATE_HEX                                                                \
	ID_HEX "12084b6579626f6172641a134d656368616e6963616c206b6579626f61726421" \
	       "0000000000e05840"
#define TIMES_HEX "320c08adc1ad89061080cab5ee013a0c08adc1ad89061080cab5ee01"

static size_t from_hex(unsigned char *out, const char *hex)
{
	size_t n = strlen(hex) / 2;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (unsigned char)byte;
	}
	return n;
}

static const char *read_hex(const char *hex, const char *type, enum product_shape shape)
{
	static unsigned char data[1000];
	return read_as(data, from_hex(data, hex), NULL, type, shape);
}

static void writes_hex(const char *hex, enum product_shape shape)
{
	unsigned char expected[1000];
	size_t n = from_hex(expected, hex), len;
	void *data = product_write_protobuf(&product, shape, &len);
	ck_assert_uint_eq(len, n);
	ck_assert_mem_eq(data, expected, n);
	free(data);
}

static void is_the_keyboard(void)
{
	ck_assert_str_eq(product.id, ID);
	ck_assert_str_eq(product.name, "Keyboard");
	ck_assert_str_eq(product.description, "Mechanical keyboard");
	ck_assert_str_eq(product.price, "99.5");
}

START_TEST(takes_a_command_of_the_original)
{
	ck_assert_str_eq(read_hex(CREATE_HEX, NULL, PRODUCT_COMMAND), "");
	is_the_keyboard();
	writes_hex(CREATE_HEX, PRODUCT_COMMAND);
	ck_assert_str_eq(read_hex(CREATE_HEX, "application/x-protobuf", PRODUCT_COMMAND), "");
	is_the_keyboard();
	ck_assert_str_eq(read_hex(ID_HEX, NULL, PRODUCT_COMMAND), "");
	ck_assert_str_eq(product.id, ID);
	ck_assert(!product_is_any(&product, &mistake));
	writes_hex(ID_HEX, PRODUCT_COMMAND);
}
END_TEST

START_TEST(takes_an_event_of_the_original)
{
	ck_assert_str_eq(read_hex("0a6a" CREATE_HEX TIMES_HEX, NULL, PRODUCT_EVENT), "");
	is_the_keyboard();
	ck_assert_int_eq(product.created_us, INT64_C(1630232749500000));
	ck_assert_int_eq(product.updated_us, INT64_C(1630232749500000));
	ck_assert_int_eq(product.version, 0);
	writes_hex("0a6a" CREATE_HEX TIMES_HEX, PRODUCT_EVENT);
}
END_TEST

START_TEST(refuses_protobuf_that_is_none)
{
	static const char none[] = "neither a JSON object nor the protobuf of a product";
	ck_assert_str_eq(read_hex("0a24", NULL, PRODUCT_COMMAND), none);
	ck_assert(!mistake.no_memory);
	ck_assert_str_eq(read_hex("ff", NULL, PRODUCT_EVENT), none);
	ck_assert_str_eq(read_hex("1800", NULL, PRODUCT_EVENT), none);
	ck_assert_str_eq(read_hex("0a6a" CREATE_HEX
	                          "320c08adc1ad89061080cab5fe073a0c08adc1ad89061080cab5ee01",
	                          NULL, PRODUCT_EVENT),
	                 "createdAt is outside of the years 1970 to 2200");
	ck_assert_str_eq(read_hex(ID_HEX "12024100", NULL, PRODUCT_COMMAND),
	                 "name has a NUL character");
	ck_assert_str_eq(read_as("{}", 2, ID, "application/x-protobuf", PRODUCT_COMMAND), none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("product");
	TCase *tcase = tcase_create("product");
	tcase_add_test(tcase, keeps_the_text_of_a_price);
	tcase_add_test(tcase, refuses_a_price_that_is_none);
	tcase_add_test(tcase, takes_a_double_for_the_decimal_that_reads_back_as_it);
	tcase_add_test(tcase, counts_characters_not_bytes);
	tcase_add_test(tcase, says_which_member_is_wrong);
	tcase_add_test(tcase, reads_what_it_writes_as_json);
	tcase_add_test(tcase, reads_an_event);
	tcase_add_test(tcase, takes_the_key_for_the_id_that_the_value_lacks);
	tcase_add_test(tcase, takes_a_command_of_the_original);
	tcase_add_test(tcase, takes_an_event_of_the_original);
	tcase_add_test(tcase, refuses_protobuf_that_is_none);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
