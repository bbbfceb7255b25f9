#include "device/startup_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace fleet::device {
namespace {

// For dl_iterate_phdr: 0 goes on to the next library.
int ReleaseReadOnlySegments(dl_phdr_info* library, size_t, void*) {
  const uintptr_t page_mask = ~(static_cast<uintptr_t>(getpagesize()) - 1);
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = library->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t start = (library->dlpi_addr + segment.p_vaddr) & page_mask;
    const uintptr_t end = library->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);  // refused: then it stays, no harm
  }
  return 0;
}

}  // namespace

void ReleaseStartupMemory() {
  dl_iterate_phdr(ReleaseReadOnlySegments, nullptr);
  malloc_trim(0);
}

}  // namespace fleet::device
