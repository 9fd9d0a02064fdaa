// What a process that has little to do keeps in memory.

#pragma once

namespace base {

// Has malloc make at most two heaps ("arenas") instead of eight for each processor, so that what some threads have
// freed is used again by others. To be called before there are threads; nothing with sanitizers, as below.
void LimitHeaps();

// Gives back freed memory that malloc holds (malloc_trim(3)); nothing in GCC's builds with sanitizers of addresses or
// threads, whose malloc is another. Thread-safe.
void ReleaseFreedMemory();

// Gives back what can be had again: freed memory, and the pages of the program's and its libraries' code and constants.
// Each access to a file's page maps fifteen around it as well, and linking reads far more than is ever executed; what
// is needed again comes from the page cache, 64 KiB for a minor fault. Takes about a millisecond. Thread-safe.
void ReleaseMemory();

}  // namespace base
