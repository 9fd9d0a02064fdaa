// What the static programs have in place of the C++ library's exceptions: running out of memory, or a bug that would
// throw, ends the process. Without these definitions the library's own would pull in its unwinder and its locales,
// four times the size of a program.
#include <cstddef>
#include <cstdlib>
#include <new>

void* operator new(std::size_t size) {
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}

void* operator new(std::size_t size, const std::nothrow_t& /*nothrow*/) noexcept {
  return std::malloc(size == 0 ? 1 : size);
}

void operator delete(void* memory, const std::nothrow_t& /*nothrow*/) noexcept {
  std::free(memory);
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

// The names are those of the C++ library.
// NOLINTBEGIN(bugprone-reserved-identifier)
namespace std {

[[noreturn]] void __throw_length_error(const char* /*what*/) {
  std::abort();
}

[[noreturn]] void __throw_logic_error(const char* /*what*/) {
  std::abort();
}

[[noreturn]] void __throw_out_of_range_fmt(const char* /*format*/, ...) {
  std::abort();
}

[[noreturn]] void __throw_bad_alloc() {
  std::abort();
}

[[noreturn]] void __throw_bad_array_new_length() {
  std::abort();
}

[[noreturn]] void __throw_bad_function_call() {
  std::abort();
}

}  // namespace std
// NOLINTEND(bugprone-reserved-identifier)
