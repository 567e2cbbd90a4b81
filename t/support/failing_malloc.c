/* SPDX-License-Identifier: MIT */
/*
 * Lets memory run out for cqrsd, libpq, libevent and jansson, and for nobody else.
 *
 *   LD_PRELOAD=failing_malloc.so FAILING_MALLOC=FILE cqrsd ...
 *
 * FILE has two numbers of 64 bits: the first, written by the test, lets one
 * allocation in so many fail (0: none); the second counts how many did.  Who
 * allocates is told from the return address.  librdkafka ends the process when
 * it gets no memory, and libc has callers that do not ask: neither is tried.
 */
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGES_MAX 16

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

struct control {
	_Atomic uint64_t one_in, failed;
};

static struct {
	uintptr_t low, high;
} ranges[RANGES_MAX];
static int n_ranges;
static struct control *_Atomic control;

static bool is_victim(const char *name)
{
	static const char *const libraries[] = {"libpq.so", "libevent_core", "libjansson"};
	if (!*name)
		return true; /* the program itself */
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
		if (strstr(name, libraries[i]))
			return true;
	return false;
}

static int note_range(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && is_victim(info->dlpi_name); i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || n_ranges == RANGES_MAX)
			continue;
		ranges[n_ranges].low = info->dlpi_addr + part->p_vaddr;
		ranges[n_ranges++].high = info->dlpi_addr + part->p_vaddr + part->p_memsz;
	}
	return 0;
}

__attribute__((constructor)) static void set_up(void)
{
	const char *path = getenv("FAILING_MALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at =
	    fd < 0 ? MAP_FAILED
	           : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	dl_iterate_phdr(note_range, NULL);
	if (at != MAP_FAILED)
		atomic_store(&control, at);
}

static uint64_t chance(void)
{
	static _Thread_local uint64_t seed;
	seed = seed ? seed : (uintptr_t)&seed | 1;
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool fails(const void *caller)
{
	struct control *now = atomic_load_explicit(&control, memory_order_acquire);
	uint64_t one_in = now ? atomic_load_explicit(&now->one_in, memory_order_relaxed) : 0;
	uintptr_t at = (uintptr_t)caller;
	if (!one_in || chance() % one_in)
		return false;
	for (int i = 0; i < n_ranges; i++) {
		if (at < ranges[i].low || at >= ranges[i].high)
			continue;
		atomic_fetch_add(&now->failed, 1);
		return true;
	}
	return false;
}

#define FAILS() fails(__builtin_return_address(0))

void *malloc(size_t size)
{
	return FAILS() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return FAILS() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	/* To shrink never fails. */
	return size && FAILS() ? NULL : __libc_realloc(old, size);
}

static char *copy(const char *text, size_t len)
{
	char *made = __libc_malloc(len + 1);
	if (made)
		*(char *)mempcpy(made, text, len) = '\0';
	return made;
}

char *strdup(const char *text)
{
	return FAILS() ? NULL : copy(text, strlen(text));
}

char *strndup(const char *text, size_t n)
{
	return FAILS() ? NULL : copy(text, strnlen(text, n));
}
