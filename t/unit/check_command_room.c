/* SPDX-License-Identifier: MIT */
#include "command_bus_internal.h"

#include <check.h>

#define LANES 2
#define MB    (1 << 20)

static struct loop *loop;
static struct command_bus bus;
static struct command_bus_config config = {.memory = 36 * MB, .writers = LANES};
static struct bus_lane lanes[LANES];
static int woken[LANES];

static void on_timer(void *arg)
{
	++*(int *)arg;
}

/* 12 MB for batches: 3 for each of the four. */
static void begin(void)
{
	loop = loop_new();
	bus = (struct command_bus){.loop = loop, .config = &config, .lanes = lanes};
	room_init(&bus);
	ck_assert_uint_eq(bus.batch_bytes, 3 * MB);
	for (int i = 0; i < LANES; i++) {
		woken[i] = 0;
		lanes[i] = (struct bus_lane){.bus = &bus,
		                             .index = i,
		                             .open = batch_new(NULL, 0),
		                             .storing = batch_new(NULL, 0),
		                             .timer = timer_new(loop, on_timer, &woken[i])};
	}
}

static void end(void)
{
	for (int i = 0; i < LANES; i++) {
		batch_free(lanes[i].open);
		batch_free(lanes[i].storing);
		timer_free(lanes[i].timer);
	}
	loop_free(loop);
}

/* The next message of a lane: it takes so much, with what librdkafka keeps for it. */
static void next_is(int lane, size_t bytes)
{
	lanes[lane].n_pending = 1;
	lanes[lane].next_pending = 0;
	lanes[lane].pending[0] =
	    (struct kafka_message){.message.value_len = bytes - KAFKA_MESSAGE_OVERHEAD};
	room_took(&lanes[lane]);
}

static void on_limit(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* Lets timers come that are due now. */
static void turn(void)
{
	struct timer *limit = timer_new(loop, on_limit, NULL);
	timer_arm(limit, 20000);
	loop_run(loop);
	timer_free(limit);
}

START_TEST(a_batch_has_what_fits)
{
	next_is(0, MB);
	lanes[0].open->bytes = 2 * MB;
	lanes[1].open->bytes = lanes[1].storing->bytes = 3 * MB;
	ck_assert(room_for_next(&lanes[0]));
	lanes[0].open->bytes++;
	ck_assert(!room_for_next(&lanes[0]));
	/* Which is this lane's own business. */
	ck_assert_ptr_null(bus.alone);
	ck_assert(room_for_next(&lanes[1]));
	lanes[0].open->bytes = 0;
	ck_assert(room_for_next(&lanes[0]));
}
END_TEST

START_TEST(a_large_message_comes_if_all_together_fit)
{
	next_is(0, 10 * MB);
	lanes[1].storing->bytes = 2 * MB;
	ck_assert(room_for_next(&lanes[0]));
	ck_assert_ptr_null(bus.alone);
}
END_TEST

START_TEST(the_others_give_way_to_one_that_does_not_fit)
{
	next_is(0, 10 * MB);
	lanes[1].storing->bytes = 2 * MB + 1;
	ck_assert(!room_for_next(&lanes[0]));
	ck_assert(!room_for_next(&lanes[1]));
	ck_assert_int_eq(room_for_messages(&lanes[1]), 0);
	turn();
	ck_assert_int_eq(woken[1], 1); /* to hand over what it has */
	lanes[1].storing->bytes = 0;
	room_was_made(&lanes[1], false);
	turn();
	ck_assert_int_eq(woken[0], 2);
	ck_assert(room_for_next(&lanes[0]));
	ck_assert(room_for_next(&lanes[1]));
	turn();
	ck_assert_int_eq(woken[1], 2); /* it may go on */
}
END_TEST

START_TEST(one_that_never_fits_comes_when_there_is_no_other)
{
	next_is(0, 100 * MB);
	lanes[0].storing->bytes = 1;
	ck_assert(!room_for_next(&lanes[0]));
	lanes[0].storing->bytes = 0;
	ck_assert(room_for_next(&lanes[0]));
}
END_TEST

START_TEST(one_that_is_dropped_is_waited_for_no_more)
{
	next_is(0, 100 * MB);
	lanes[1].open->bytes = 1;
	ck_assert(!room_for_next(&lanes[0]));
	room_was_made(&lanes[1], true);
	ck_assert(!room_for_next(&lanes[1]));
	lanes[0].n_pending = 0;
	room_was_made(&lanes[0], true);
	ck_assert(room_for_next(&lanes[1]));
	turn();
	ck_assert_int_ge(woken[1], 1);
}
END_TEST

START_TEST(takes_fewer_the_larger_they_are)
{
	ck_assert_int_eq(room_for_messages(&lanes[0]), LANE_PENDING);
	next_is(0, 600);
	ck_assert_int_eq(room_for_messages(&lanes[0]), LANE_PENDING);
	next_is(0, MB / 10 - 1); /* an eighth more than 1 MB may be pending */
	ck_assert_int_eq(room_for_messages(&lanes[0]), 11);
	next_is(0, 100 * MB);
	ck_assert_int_eq(room_for_messages(&lanes[0]), 1);
}
END_TEST

START_TEST(leaves_large_ones_where_they_are_until_there_is_room)
{
	next_is(0, 10 * MB);
	lanes[0].storing->bytes = 10 * MB;
	ck_assert_int_eq(room_for_messages(&lanes[0]), 0);
	lanes[0].storing->bytes = 0;
	room_was_made(&lanes[1], false);
	turn();
	ck_assert_int_eq(woken[0], 1);
	ck_assert_int_eq(room_for_messages(&lanes[0]), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command_room");
	TCase *tcase = tcase_create("all");
	tcase_add_checked_fixture(tcase, begin, end);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, a_batch_has_what_fits);
	tcase_add_test(tcase, a_large_message_comes_if_all_together_fit);
	tcase_add_test(tcase, the_others_give_way_to_one_that_does_not_fit);
	tcase_add_test(tcase, one_that_never_fits_comes_when_there_is_no_other);
	tcase_add_test(tcase, one_that_is_dropped_is_waited_for_no_more);
	tcase_add_test(tcase, takes_fewer_the_larger_they_are);
	tcase_add_test(tcase, leaves_large_ones_where_they_are_until_there_is_room);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
