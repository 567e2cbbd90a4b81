/* SPDX-License-Identifier: MIT */
/*
 * Typed values in PostgreSQL's binary format: parameters and COPY fields.
 *
 * The format is that of each type's receive function (PostgreSQL manual,
 * chapter 55.2.2 and src/backend/utils/adt): integers big-endian, timestamps
 * in microseconds since 2000-01-01, numeric in digits of base 10,000.
 */
#ifndef PG_VALUE_H
#define PG_VALUE_H

#include "buf.h"
#include <cqrs/value.h>
#include <libpq-fe.h>

/* The microsecond of 2000-01-01T00:00:00Z, where PostgreSQL counts from, since 1970. */
#define PG_EPOCH_US INT64_C(946684800000000)

/* Built-in types by their OID, which never change (pg_type.dat). */
enum pg_oid {
	PG_OID_BOOL = 16,
	PG_OID_BYTEA = 17,
	PG_OID_NAME = 19,
	PG_OID_INT8 = 20,
	PG_OID_INT2 = 21,
	PG_OID_INT4 = 23,
	PG_OID_TEXT = 25,
	PG_OID_OID = 26,
	PG_OID_JSON = 114,
	PG_OID_FLOAT4 = 700,
	PG_OID_FLOAT8 = 701,
	PG_OID_BOOL_ARRAY = 1000,
	PG_OID_BYTEA_ARRAY = 1001,
	PG_OID_INT2_ARRAY = 1005,
	PG_OID_INT4_ARRAY = 1007,
	PG_OID_TEXT_ARRAY = 1009,
	PG_OID_INT8_ARRAY = 1016,
	PG_OID_FLOAT4_ARRAY = 1021,
	PG_OID_FLOAT8_ARRAY = 1022,
	PG_OID_BPCHAR = 1042,
	PG_OID_VARCHAR = 1043,
	PG_OID_DATE = 1082,
	PG_OID_TIMESTAMP = 1114,
	PG_OID_TIMESTAMPTZ = 1184,
	PG_OID_TIMESTAMPTZ_ARRAY = 1185,
	PG_OID_NUMERIC_ARRAY = 1231,
	PG_OID_NUMERIC = 1700,
	PG_OID_UUID = 2950,
	PG_OID_UUID_ARRAY = 2951,
	PG_OID_JSONB = 3802,
	PG_OID_JSONB_ARRAY = 3807,
};

Oid pg_value_oid(enum cqrs_type type);
/* Of an array of such values; 0 for arrays. */
Oid pg_value_array_oid(enum cqrs_type type);
/* As SQL has it: "double precision". */
const char *pg_value_type_name(enum cqrs_type type);

/*
 * Appends the payload of `value`, which is not null, without a length word.
 * False, and nothing is appended, when no value of the type is meant: an
 * integer out of range, text with NUL or that is not UTF-8, malformed numeric
 * or uuid.  JSON is checked for its encoding alone.  Out of memory: as in buf.h.
 */
bool pg_value_encode(struct buf *b, const struct cqrs_value *value);

/* Appends a field of a COPY tuple or of an array, its length or "null" first; false: as above. */
bool pg_value_add_field(struct buf *b, const struct cqrs_value *value);

/*
 * Appends the beginning of an array of `n` > 0 elements, each of which is then its
 * length (UINT32_MAX: null) and its payload.
 */
#define PG_ARRAY_HEADER 20 /* bytes */
void pg_array_begin(struct buf *b, Oid element, bool any_null, size_t n);

/*
 * The value that was sent as `len` bytes of type `oid`; not null.  Text is
 * borrowed from `data`, a uuid is written to `text`.  False: a type that
 * struct cqrs_value does not have here (numeric, jsonb, arrays), or bytes that
 * are no value of it.
 */
bool pg_value_decode(Oid oid, const char *data, size_t len, char text[40],
                     struct cqrs_value *value);

/* Big-endian integers out of PostgreSQL's binary format. */
static inline uint16_t pg_get16(const char *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap16(v);
}

static inline uint32_t pg_get32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap32(v);
}

static inline uint64_t pg_get64(const char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

/* The 16 bytes of a uuid's 36 characters; false: it is none. */
bool pg_uuid_parse(char out[16], const char *text, size_t len);
/* Writes the 36 characters of a uuid's 16 bytes, not terminated. */
void pg_uuid_format(char out[36], const char *bytes);

/* Whether `data` is UTF-8 without NUL (RFC 3629, as PostgreSQL checks it). */
bool pg_value_is_text(const char *data, size_t len);

#endif
