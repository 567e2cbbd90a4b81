/* SPDX-License-Identifier: MIT */
/* What of the process is resident, beyond what it uses. */
#include "resident.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Only what cannot be written: it is the same in the file (relocations are in segments that can).
 */
static int release(struct dl_phdr_info *library, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	(void)size;
	(void)arg;
	if (!*library->dlpi_name)
		return 0; /* the program itself */
	for (int i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
		if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
			continue;
		uintptr_t begin = (library->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
		uintptr_t end =
		    (library->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
		if (begin < end)
			madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
	return 0;
}

void resident_release_libraries(void)
{
	dl_iterate_phdr(release, NULL);
}

void resident_give_large_memory_back(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
}
