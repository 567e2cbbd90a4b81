/* SPDX-License-Identifier: MIT */
/*
 * In which way ranges are begun.
 *
 * Where one row of a thousand is bad, trying COPY first would be in vain; where one
 * of a million is, sifting all of them would.  Sifting tells at no cost whether it
 * was needed: after some ranges that did not, less is tried.  If that was wrong (a
 * column of another type than ours refuses every COPY), it is not tried again so soon.
 */
#include "pg_writer_internal.h"

#define PATIENCE     4
#define PATIENCE_MAX 256

static void start_over(struct writer_habit *habit, unsigned usual)
{
	habit->usual = usual;
	habit->most = ATTEMPT_DIRECT;
	habit->quiet = 0;
}

void writer_habit_refused(struct writer_habit *habit, unsigned next)
{
	if (habit->trying && habit->patience < PATIENCE_MAX)
		habit->patience *= 2;
	habit->trying = false;
	start_over(habit, next);
}

void writer_habit_stored(struct writer_habit *habit, unsigned needed)
{
	if (habit->trying || !habit->patience)
		habit->patience = PATIENCE;
	habit->trying = false;
	if (!(habit->usual & ~needed)) {
		start_over(habit, needed);
		return;
	}
	habit->usual |= needed;
	habit->most |= needed;
	if (++habit->quiet < habit->patience)
		return;
	start_over(habit, habit->most);
	habit->trying = true;
}
