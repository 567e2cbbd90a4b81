/* SPDX-License-Identifier: MIT */
/* jansson, whose functions fail when injected_malloc() does. */
#include "injection.h"

#include <jansson.h>
#include <stdarg.h>

INJECT_INSIDE(json_t *, json_array, (void), ())
INJECT_INSIDE(json_t *, json_object, (void), ())
INJECT_INSIDE(json_t *, json_string, (const char *text), (text))
INJECT_INSIDE(json_t *, json_stringn, (const char *text, size_t len), (text, len))
INJECT_INSIDE(json_t *, json_integer, (json_int_t n), (n))
INJECT_INSIDE(int, json_array_append_new, (json_t * array, json_t *value), (array, value))
INJECT_INSIDE(int, json_object_set_new, (json_t * object, const char *name, json_t *value),
              (object, name, value))
INJECT_INSIDE(int, json_object_update, (json_t * object, json_t *other), (object, other))
INJECT_INSIDE(json_t *, json_loads, (const char *text, size_t flags, json_error_t *error),
              (text, flags, error))
INJECT_INSIDE(json_t *, json_loadb,
              (const char *text, size_t len, size_t flags, json_error_t *error),
              (text, len, flags, error))
INJECT_INSIDE(int, json_dump_callback,
              (const json_t *json, json_dump_callback_t callback, void *arg, size_t flags),
              (json, callback, arg, flags))
INJECT_INSIDE(int, json_dumpf, (const json_t *json, FILE *file, size_t flags), (json, file, flags))

json_t *injected_json_pack(const char *format, ...);
json_t *injected_json_pack(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	injection_works_for(__builtin_return_address(0));
	json_t *json = json_vpack_ex(NULL, 0, format, ap);
	injection_works_for(NULL);
	va_end(ap);
	return json;
}
