/* SPDX-License-Identifier: MIT */
/* What the start alone needed of the libraries goes, and they still work. */
#include "resident.h"

#include <check.h>
#include <librdkafka/rdkafka.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

/* In KiB; "RssFile:" is what is mapped from files (proc(5)). */
static long mapped_from_files(void)
{
	char line[256];
	long kib = -1;
	FILE *status = fopen("/proc/self/status", "re");
	while (fgets(line, sizeof line, status))
		if (sscanf(line, "RssFile: %ld", &kib) == 1)
			break;
	fclose(status);
	return kib;
}

/* As loading does, to most of them. */
static int touch(struct dl_phdr_info *library, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; strstr(library->dlpi_name, "librdkafka") && i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
		for (size_t at = 0; segment->p_type == PT_LOAD && at < segment->p_filesz;
		     at += 4096)
			*(volatile char *)(library->dlpi_addr + segment->p_vaddr + at);
	}
	return 0;
}

START_TEST(lets_go_of_what_only_the_start_needed)
{
	dl_iterate_phdr(touch, NULL);
	long before = mapped_from_files();
	resident_release_libraries();
	long after = mapped_from_files();
	ck_assert_int_gt(after, 0);
	ck_assert_int_lt(after, before - 500);
}
END_TEST

START_TEST(libraries_work_as_before)
{
	for (int i = 0; i < 3; i++) {
		resident_release_libraries();
		rd_kafka_conf_t *conf = rd_kafka_conf_new();
		ck_assert_int_eq(rd_kafka_conf_set(conf, "client.id", "check", NULL, 0), 0);
		rd_kafka_conf_destroy(conf);
		ck_assert_str_eq(rd_kafka_err2name(RD_KAFKA_RESP_ERR__FATAL), "_FATAL");
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("resident");
	TCase *tc = tcase_create("resident");
	tcase_add_test(tc, lets_go_of_what_only_the_start_needed);
	tcase_add_test(tc, libraries_work_as_before);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
